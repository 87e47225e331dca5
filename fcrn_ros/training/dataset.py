"""What a run reads: its sources, decoded and divided."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fcrn_ros.training.data.partition import Held, Portion, divide
from fcrn_ros.training.data.store import open_store
from fcrn_ros.training.sources.openers import Weighted


@dataclass(frozen=True)
class Data:
    """
    What to train on.

    :param sources: with their weights.
    :param test: what is kept for the verdict, a share of every source or names.
    :param validation: what training is watched on, likewise.
    :param cache: folder of the decoded samples.
    """

    sources: tuple[Weighted, ...]
    test: Held = 0.2
    validation: Held = 0.1
    cache: Path = Path('cache')

    def portions(self, width: int) -> list[Portion]:
        """Return every source, decoded at most ``width`` wide [px] and divided."""
        stores = [(open_store(s.source, width, self.cache), s.weight) for s in self.sources]
        return divide(stores, self.test, self.validation)


def tell(portions: list[Portion]) -> None:
    """Say what was read and how it is divided."""
    if int(os.environ.get('LOCAL_RANK', 0)):
        return
    console = Console(stderr=True, soft_wrap=True)
    for portion in portions:
        store = portion.store
        for line in store.report:
            console.print(f'{store.name}: {line.removeprefix(f"{store.name}: ")}', markup=False)
        console.print(
            f'{store.name}: {len(portion.training)} samples to train on, '
            f'{len(portion.validation)} to watch it on, {len(portion.test)} for the verdict'
        )

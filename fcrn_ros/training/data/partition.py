"""
Which samples are trained on, which are watched, and which are kept for the verdict.

Neighbouring pictures of a recording show the same things, so a source is cut into three runs in
its own order, which is that of time: training, validation, test. Named samples are taken out
wherever they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fcrn_ros.training.data.store import Store

Held = float | tuple[str, ...]  # a share of every source, or names


@dataclass(frozen=True)
class Portion:
    """
    One source's samples, divided.

    :param store: all of its samples.
    :param weight: how often it is read, beside the others.
    :param training: indices to train on.
    :param validation: indices that training is watched on.
    :param test: indices that nothing but the last evaluation reads.
    """

    store: Store
    weight: float
    training: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def divide(stores: Sequence[tuple[Store, float]], test: Held, validation: Held) -> list[Portion]:
    """
    Divide every source.

    :param stores: the sources with their weights.
    :param test: the share of each source, its last samples, or names of samples.
    :param validation: the share, the last ones before those of ``test``, or names.
    :raises ValueError: a share is not in 0..1, a name is of no sample or in both lists, or nothing
        is left to train on.
    """
    _require_known(stores, test, 'test')
    _require_known(stores, validation, 'validation')
    both = set(_names(test)) & set(_names(validation))
    if both:
        raise ValueError(f'{min(both)} is in the names of test and of validation; expected one')
    portions = []
    for store, weight in stores:
        rest = list(range(len(store)))
        last, rest = _held(store, rest, test, len(store))
        watched, rest = _held(store, rest, validation, len(store))
        if not rest:
            raise ValueError(
                f'{store.name}: nothing is left to train on of {len(store)} samples; '
                f'{len(last)} are for the test and {len(watched)} for validation'
            )
        portions.append(Portion(store, weight, tuple(rest), tuple(watched), tuple(last)))
    return portions


def _names(held: Held) -> tuple[str, ...]:
    return held if isinstance(held, tuple) else ()


def _require_known(stores: Sequence[tuple[Store, float]], held: Held, what: str) -> None:
    if not isinstance(held, tuple):
        if not 0 <= held < 1:
            raise ValueError(f'{what} is {held:g}; expected a share from 0 to below 1, or names')
        return
    known = {name for store, _ in stores for name in store.names}
    missing = set(held) - known
    if missing:
        raise ValueError(
            f'{len(missing)} names of {what} are of no sample; the first: {min(missing)}'
        )


def _held(store: Store, rest: list[int], held: Held, total: int) -> tuple[list[int], list[int]]:
    """Return the indices that are held out of ``rest``, and the others."""
    if isinstance(held, tuple):
        named = set(held)
        out = [i for i in rest if store.entries[i]['name'] in named]
    else:
        count = round(held * total)
        out = rest[max(0, len(rest) - count) :]
    chosen = set(out)
    return out, [i for i in rest if i not in chosen]

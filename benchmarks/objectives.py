"""
What the objectives without depth teach: absrel on frames that were not read, before and after.

    python benchmarks/objectives.py kitchen_video/ headset_video/ [--steps 300]

Trains the shipped model on the first two thirds of each posed video, three times: on its pictures
and poses, on its pictures alone (a second network tells the motion), and on stereo pairs made of
two of its frames. Recorded depth serves the measurement only; the last third is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from fcrn_ros.commands.arguments import intrinsics
from fcrn_ros.training.data.motion_stereo import sideways_pairs, stereo_pair
from fcrn_ros.training.data.samples import Sample, Source
from fcrn_ros.training.dataset import Data
from fcrn_ros.training.fit import Machines
from fcrn_ros.training.recipe import Recipe
from fcrn_ros.training.sources.openers import Options, Weighted, open_samples
from fcrn_ros.training.train import train
from fcrn_ros.training.verdict import compare_models

MEASURES = ('absrel', 'rmse', 'delta1')


class Changed:
    """A posed video in another form: without its poses, or as stereo pairs."""

    def __init__(self, video: Source, form: str) -> None:
        self.video, self.form = video, form
        self.name, self.licence = f'{video.name}_{form}', video.licence

    def __len__(self) -> int:
        return len(self.video)

    def signature(self) -> str:
        """Return the video's, and the form."""
        return f'{self.form} {self.video.signature()}'

    def samples(self) -> Iterator[Sample]:
        """Yield the changed samples."""
        if self.form == 'unposed':
            for sample in self.video.samples():
                yield replace(sample, world_T_camera=None)
            return
        samples = list(self.video.samples())
        for one, other in sideways_pairs(samples):
            try:
                yield stereo_pair(samples[one], samples[other])
            except ValueError:  # the motion leaves no common window
                continue

    def report(self) -> list[str]:
        """Return the video's report."""
        return self.video.report()


def main() -> None:
    """Train and measure every form of every video."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    print('| video | objective | samples |', ' | '.join(MEASURES), '|')
    print('|---' * (3 + len(MEASURES)) + '|')
    for path in options.videos:
        video = open_samples(path, Options(camera=options.camera))
        forms: dict[str, tuple[Source, str]] = {
            'video, recorded poses': (video, 'video'),
            'video, told poses': (Changed(video, 'unposed'), 'video'),
            'stereo': (Changed(video, 'stereo'), 'stereo'),
        }
        for name, (source, objective) in forms.items():
            if not options.only or name in options.only:
                _row(options, source, objective, f'{video.name} | {name}')


def _row(options: argparse.Namespace, source: Source, objective: str, label: str) -> None:
    recipe = Recipe(
        objective=objective,
        steps=options.steps,
        check_every=options.steps,
        batch=options.batch,
        rate=options.rate,
        anchor=options.anchor,
        blend=0.0,
    )
    data = Data((Weighted(source),), 1 / 3, 0.0, options.out / 'cache')
    out = options.out / f'{source.name}_{objective}'
    outcome = train(data, recipe, Machines(logger='none'), out, source.name)
    assert outcome is not None
    (comparison,) = compare_models(outcome)
    assert comparison.before is not None
    before, after = comparison.before.pooled, comparison.after.pooled
    numbers = ' | '.join(f'{before[m]:.3f} -> {after[m]:.3f}' for m in MEASURES)
    portion = outcome.portions[0]
    print(f'| {label} | {len(portion.training)}, {len(portion.test)} | {numbers} |', flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('videos', type=Path, nargs='+')
    parser.add_argument('--camera', type=intrinsics, help='of all videos; default: their own')
    parser.add_argument('--only', action='append', help='a form, as the table names it')
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--rate', type=float, default=2e-4)
    parser.add_argument('--anchor', type=float, default=0.05)
    parser.add_argument('--out', type=Path, default=Path('objectives'))
    parser.add_argument('--threads', type=int, default=1)
    return parser.parse_args()


if __name__ == '__main__':
    main()

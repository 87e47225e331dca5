"""
What `scale: ground` and `scale_smoothing` do to the scale of depth; prints Markdown tables.

    python benchmarks/ground_scale.py [--data FOLDER] [--model NAME]

The rendered clip has exact depth and poses. FOLDER may hold kitchen_video/ (7-Scenes RedKitchen),
headset_video/ (a HoloLens walk) and nyu_v2_train/ (rgb/, depth/), as their authors published
them; what is absent is left out. A frame counts where the floor fills at least 8 % of it. The
scale error of a frame is |median(depth / truth) - 1|, its flicker the standard deviation of the
change of log(median(depth / truth)) from frame to frame.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from floor_shots import Floats, Shot, held_by, photographs, videos_of
from numpy.typing import NDArray

from fcrn_ros.mounting import Mounting
from fcrn_ros.pipeline import DepthPipeline, Options
from fcrn_ros.scaling.flicker import Flicker
from fcrn_ros.scaling.ground import find_ground
from fcrn_ros.scaling.ground_scale import GroundScale

SMOOTHING = 0.3  # [s]
SURE = 0.016  # evidence


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--data', type=Path, help='folder of recorded videos')
    parser.add_argument('--model', default='')
    options = parser.parse_args()
    whole = Options(min_range=0.0, max_range=1e3)  # errors are measured without range masks
    pipeline = DepthPipeline.open(options.model, 'torch', threads=1, options=whole)
    videos = videos_of(pipeline, options.data)
    _print_videos(videos)
    single = {}
    if options.data and (options.data / 'nyu_v2_train').is_dir():
        single['NYU Depth v2, held-out'] = photographs(pipeline, options.data / 'nyu_v2_train')
    _print_bias({**single, **videos})
    _print_known_factors(videos)
    _print_smoothing(videos)
    _print_cost(next(iter(videos.values()))[0])
    return 0


def _runs(
    shots: list[Shot], smoothing: float, constant: bool = False, truth_times: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """
    Return per frame the log scale of the scene and of the floor, as it is and as it is corrected.

    :param constant: use the mean mounting for all frames, as a robot has one.
    :param truth_times: put the truth times this in the place of the network's depth.
    """
    flicker, keeper = Flicker(smoothing), GroundScale()
    mean = _mean_mounting(shots) if constant else None
    rows = []
    for shot in shots:
        held = mean or shot.mounting
        assert held is not None
        depth = shot.truth * np.float32(truth_times) if truth_times else shot.depth
        confidence = None if truth_times else shot.confidence
        once = find_ground(depth, shot.camera, held, confidence)
        steady = math.log(flicker.factor(depth, shot.time))
        ground = find_ground(depth * np.float32(math.exp(steady)), shot.camera, held, confidence)
        scale = keeper.update(ground, held.height, shot.time)
        scene, floor = shot.log_scale(depth), shot.log_scale(depth, floor=True)
        single = math.log(held.height / once.height) if once else math.nan
        moved = steady + math.log(scale.factor)
        rows.append((scene, floor, single, steady, moved, scale.quality, shot.counts))
    names = 'scene', 'floor', 'single', 'steady', 'moved', 'quality', 'counts'
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))


def _mean_mounting(shots: list[Shot]) -> Mounting:
    held = [s.mounting for s in shots if s.mounting is not None]
    up = np.mean([m.up for m in held], axis=0)
    height = float(np.mean([m.height for m in held]))
    return held_by(up, height)


def _error(logs: NDArray[np.float64], counts: NDArray[np.float64]) -> str:
    errors = np.abs(np.expm1(logs[(counts > 0) & np.isfinite(logs)])) * 100
    return f'{np.median(errors):.1f} ({np.percentile(errors, 90):.0f})'


def _flicker(logs: NDArray[np.float64]) -> str:
    return f'{np.nanstd(np.diff(logs)) * 100:.2f}'


def _table(title: str, head: str, rows: Iterable[str]) -> None:
    columns = head.count('|') - 1
    print(f'\n{title}\n\n{head}\n|---|' + '---:|' * (columns - 1))
    print('\n'.join(rows), flush=True)


def _print_videos(videos: dict[str, list[Shot]]) -> None:
    rows, counts = [], []
    for name, shots in videos.items():
        for constant in (True, False) if name == 'rendered clip' else (False,):
            r = _runs(shots, SMOOTHING, constant)
            label = f'{name}, one mean mounting' if constant else f'{name}, mounting of each frame'
            counts.append(f'{name}: {int(r["counts"].sum())} of {len(shots)} frames')
            for what, logs in (
                ('focal', 0 * r['scene']),
                ('ground of each frame alone', r['single']),
                ('focal, smoothed', r['steady']),
                ('ground, smoothed', r['moved']),
            ):
                scene, floor = r['scene'] + logs, r['floor'] + logs
                cells = _error(scene, r['counts']), _error(floor, r['counts']), _flicker(scene)
                rows.append(f'| {label}: {what} | ' + ' | '.join(cells) + ' |')
    _table(
        f'Scale error, median (90th percentile) [%], and flicker [%]; smoothing {SMOOTHING} s. '
        f'Floor seen in {"; ".join(dict.fromkeys(counts))}.',
        '| video: scale | scene | floor pixels | flicker |',
        rows,
    )


def _print_bias(sets: dict[str, list[Shot]]) -> None:
    rows = []
    for name, shots in sets.items():
        seen = [s for s in shots if s.counts]
        found = np.array([row for s in seen if (row := _biases(s))])
        sure = found[found[:, 0] > SURE]
        for what, some in (('all', found), (f'evidence above {SURE}', sure)):
            if not len(some):
                continue
            _, pixels, plane = some.T
            off = np.abs(plane)
            cells = f'{np.median(pixels):+.1f} | {np.median(plane):+.1f} | {np.median(off):.1f}'
            rows.append(
                f'| {name}, {what} | {len(some)} of {len(seen)} | {cells} '
                f'| {np.percentile(off, 90):.0f} |'
            )
    _table(
        "The network's floor against the rest of its scene, in percent of depth: the median of "
        'all true floor pixels, the plane that is found, and what the plane is off.',
        '| frames | floor found | floor pixels | plane | off, median | 90th percentile |',
        rows,
    )


def _biases(shot: Shot) -> tuple[float, float, float] | None:
    """Return evidence, and how much floor pixels and plane are farther than the scene [%]."""
    assert shot.mounting is not None
    ground = find_ground(shot.depth, shot.camera, shot.mounting, shot.confidence)
    if ground is None:
        return None
    scene, floor = shot.log_scale(shot.depth), shot.log_scale(shot.depth, floor=True)
    plane = math.log(ground.height / shot.mounting.height)
    return ground.evidence, 100 * (floor - scene), 100 * (plane - scene)


def _print_known_factors(videos: dict[str, list[Shot]]) -> None:
    rows = []
    for name, shots in videos.items():
        for factor in (0.5, 0.7, 1.0, 1.4, 2.0):
            r = _runs(shots, SMOOTHING, truth_times=factor)
            left = np.abs(np.expm1(r['scene'] + r['moved']))
            seconds = np.array([s.time for s in shots]) - shots[0].time
            within = seconds[left < 0.05]
            jump = np.abs(np.diff(r['moved'] - r['steady'])).max() * 100
            rows.append(
                f'| {name} | {factor:g} | {_error(r["scene"] + r["single"], r["counts"])} '
                f'| {f"{within[0]:.1f}" if len(within) else "not in the video"} | {jump:.1f} |'
            )
    _table(
        'Exact or recorded depth times a known factor: what is left [%] by the floor of each '
        'frame alone, when the filter is within 5 % [s], its largest step [%].',
        '| video | factor | each frame | within 5 % | step |',
        rows,
    )


def _print_smoothing(videos: dict[str, list[Shot]]) -> None:
    filmed = {n: s for n, s in videos.items() if n != 'headset video'}  # too few frames a second
    rows = []
    for constant in (0.0, 0.1, 0.2, 0.3, 0.5):
        cells = []
        for shots in filmed.values():
            logs = np.array([s.log_scale(s.depth) for s in shots])
            moved = _smoothed([(s.depth, s.time) for s in shots], constant)
            cells += [_flicker(logs + moved), f'{np.std(moved) * 100:.1f}']
        first = videos['rendered clip'][0].truth
        motion = np.exp(-0.5 * np.maximum(0, np.arange(120) / 30 - 1)).astype(np.float32)
        moved = _smoothed([(first * m, k / 30) for k, m in enumerate(motion)], constant)
        cells += [f'{np.abs(moved).max() * 100:.1f}', f'{abs(moved[-1]) * 100:.1f}']
        rows.append(f'| {constant:g} | ' + ' | '.join(cells) + ' |')
    pairs = ' | '.join(f'{name} | moved' for name in filmed)
    _table(
        'scale_smoothing [s]: flicker [%], the standard deviation of what it moves [%], and the '
        'lag when all depth begins to shrink by 40 % a second: the worst, and after 3 s [%].',
        f'| time constant | {pairs} | lag of motion | after 3 s |',
        rows,
    )


def _smoothed(depths: list[tuple[Floats, float]], constant: float) -> NDArray[np.float64]:
    flicker = Flicker(constant)
    return np.log([flicker.factor(d, t) for d, t in depths])


def _print_cost(shot: Shot) -> None:
    flicker = Flicker(SMOOTHING)
    rows = [
        f'| find_ground, 128x96 | {_milliseconds(_finder(shot, 128, 96)):.2f} |',
        f'| find_ground, 640x480 | {_milliseconds(_finder(shot, 640, 480)):.2f} |',
        f'| Flicker, 128x96 | {_milliseconds(lambda k: flicker.factor(shot.depth, k / 30)):.2f} |',
    ]
    _table('Cost, median of 200 calls on one core [ms].', '| step | ms |', rows)


def _finder(shot: Shot, width: int, height: int) -> Callable[[int], object]:
    assert shot.mounting is not None and shot.confidence is not None
    camera, held = shot.camera.resized(width, height), shot.mounting
    depth, confidence = (cv2.resize(a, (width, height)) for a in (shot.depth, shot.confidence))
    return lambda _: find_ground(depth, camera, held, confidence)  # type: ignore[arg-type]


def _milliseconds(call: Callable[[int], object]) -> float:
    spent = []
    for k in range(200):
        start = time.perf_counter()
        call(k)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent)) * 1e3


if __name__ == '__main__':
    sys.exit(main())

"""
Phantom points, what removes them, and how well confidence finds the errors.

    python benchmarks/edges_and_confidence.py --data recorded/

prints Markdown tables. ``recorded/`` has ``nyu_v2_train`` (rgb, depth), ``kitchen_video`` and
``headset_video`` (with poses); without it the demo clip alone is measured. Needs scipy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from phantoms import Phantoms, Picture, melted, nyu, pictures, videos
from scipy.optimize import minimize

from fcrn_ros.depth_frame import RIGHT_WITHIN, right_probability
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.space.edges import flying_pixels
from fcrn_ros.training.evaluation.metrics import confidence_rows, confidence_sums
from fcrn_ros.training.evaluation.sparsification import MEASURES, ranking_sums, sparsification

Array = Any


def main() -> None:
    """Print every table."""
    options = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pipeline = DepthPipeline.open('', 'torch', 'cpu', 'fp32', threads=1)
    samples = videos(options.data, options.every)
    films = {name: pictures(pipeline, found) for name, found in samples.items()}
    print_speed(films['demo clip'][0])
    phantoms = {name: Phantoms(film) for name, film in films.items()}
    print_filter_alone(phantoms)
    print_network(phantoms)
    print_trade_off(phantoms)
    if options.data:
        splits = (nyu(options.data, name) for name in ('validation', 'test'))
        validation, test = (pictures(pipeline, samples) for samples in splits)
        print_confidence(validation, {'NYU test': test, **films})


def print_speed(picture: Picture) -> None:
    """Print what the filter costs."""
    _head('The edge filter on one core', 'size', 'ms, median of 50')
    for width, height, reach in ((128, 96, 1), (160, 128, 1), (640, 480, 1), (640, 480, 5)):
        depth, times = cv2.resize(picture.output[0], (width, height)), []
        for _ in range(50):
            start = time.perf_counter()
            flying_pixels(depth, 1.0, reach)
            times.append(1e3 * (time.perf_counter() - start))
        _row(f'{width} x {height}, reach {reach}', f'{np.median(times):.2f}')


def print_filter_alone(videos: dict[str, Phantoms]) -> None:
    """Print what the filter does to true depth whose edges alone are wrong."""
    _head(
        'The filter alone: true depth, melted over N px of the grid',
        *('video', 'N', 'strength', 'phantoms of all', 'phantoms removed', 'true points lost'),
    )
    for name, video in videos.items():
        for melt in (2, 4):
            depths = np.array([melted(p.full, p.truth.shape, melt) for p in video.pictures])
            phantom = video.found(depths)
            for strength in (0.5, 1.0, 2.0):
                removed = _filtered(depths, strength)
                _row(name, melt, strength, *_effect(removed, phantom, video.known))


def _filtered(depths: Array, strength: float) -> Array:
    return np.array([flying_pixels(depth, strength) for depth in depths])


def _effect(removed: Array, phantom: Array, known: Array) -> tuple[str, ...]:
    true = known & ~phantom
    shares = phantom[known].mean(), removed[phantom].mean(), removed[true].mean()
    return tuple(f'{100 * share:.1f} %' for share in shares)


def print_network(videos: dict[str, Phantoms]) -> None:
    """Print what filter and confidence do to the shipped network's points."""
    gates = ((1, 0), (2, 0), (0, 0.4), (0, 0.5), (0, 0.6), (1, 0.4), (1, 0.5))
    _head(
        'The shipped network',
        *('video', 'scale', 'edge_filter', 'min_confidence', 'phantoms of all'),
        *('phantoms removed', 'true points lost', 'flying of phantoms', 'flying removed'),
    )
    for name, video in videos.items():
        confidence = np.array([right_probability(p.output[1]) for p in video.pictures])
        scaled = ('as it is', video.depth), ('median', video.depth * video.factors)
        for scale, depths in scaled:
            phantom = video.found(depths)
            flying = phantom & video.flying(depths)
            for strength, least in gates:
                removed = _filtered(depths, strength) | (confidence < least)
                shares = flying.sum() / phantom.sum(), removed[flying].mean()
                effect = _effect(removed, phantom, video.known)
                _row(name, scale, strength, least, *effect, *(f'{100 * s:.0f} %' for s in shares))


def print_trade_off(videos: dict[str, Phantoms]) -> None:
    """Print the share of phantoms that a score removes at given losses of true points."""
    losses = (0.05, 0.1, 0.15, 0.3)
    _head(
        'Phantoms removed when each score may lose a share of the true points; median scale',
        *('video', 'score', *(f'at {100 * loss:.0f} %' for loss in losses)),
    )
    for name, video in videos.items():
        depths = video.depth * video.factors
        phantom = video.found(depths)
        true = video.known & ~phantom
        for label, score in SCORES.items():
            values = np.array([score(p) for p in video.pictures])
            limits = np.quantile(values[true], [1 - loss for loss in losses])
            cells = [f'{100 * (values[phantom] > limit).mean():.0f} %' for limit in limits]
            _row(name, label, *cells)


def _jump(picture: Picture) -> Array:
    log, window = np.log(picture.output[0]), np.ones((5, 5), np.uint8)
    return cv2.dilate(log, window) - cv2.erode(log, window)


def _deviation(picture: Picture) -> Array:
    log = np.log(picture.output[0])
    return np.sqrt(np.maximum(cv2.blur(log * log, (9, 9)) - cv2.blur(log, (9, 9)) ** 2, 0))


def _grazing(picture: Picture) -> Array:
    """Return 1 - cos of the angle between ray and surface normal."""
    points = picture.camera.unproject(cv2.GaussianBlur(picture.output[0], (0, 0), 1))
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(points, axis=-1)
    return 1 - np.abs((normal * points).sum(-1)) / np.maximum(lengths, 1e-9)


def _flip(picture: Picture) -> Array:
    difference = np.abs(np.log(picture.output[0]) - np.log(picture.output[2]))
    return cv2.GaussianBlur(difference, (0, 0), 3)


Score = Callable[[Picture], Array]
SCORES: dict[str, Score] = {
    'confidence': lambda p: p.output[1],
    'flip consistency': _flip,
    'depth jump, 5 x 5': _jump,
    'log-depth deviation, 9 x 9': _deviation,
    'grazing angle': _grazing,
    'confidence, dilated': lambda p: cv2.dilate(p.output[1], np.ones((5, 5))),
    'nearness': lambda p: -p.output[0],
}
# what log(b) is made of: a constant, and each of these; None is the network's own
MADE_OF: dict[str, list[Score] | None] = {
    'head': None,
    'head, fitted': [lambda p: p.output[1]],
    'flip consistency (2 runs)': [lambda p: np.log(_flip(p) + 0.02)],
    'edge': [lambda p: np.log(_jump(p) + 0.02)],
    'head, edge': [lambda p: p.output[1], lambda p: np.log(_jump(p) + 0.02)],
    'head, depth': [lambda p: p.output[1], lambda p: np.log(p.output[0])],
    'head, flip (2 runs)': [lambda p: p.output[1], lambda p: np.log(_flip(p) + 0.02)],
    'mean head, flip, edge (2 runs)': [
        lambda p: (p.output[1] + p.output[3]) / 2,
        lambda p: np.log(_flip(p) + 0.02),
        lambda p: np.log(_jump(p) + 0.02),
    ],
}


def print_confidence(validation: list[Picture], sets: dict[str, list[Picture]]) -> None:
    """Print AUSE and calibration of each candidate, fitted on the validation pictures."""
    columns = [f'{name}: {what}' for name in sets for what in ('AUSE absrel', 'rmse', 'ECE')]
    _head('Confidence: area under the sparsification error, calibration error', 'of', *columns)
    for label, parts in MADE_OF.items():
        weights = np.array([0.0, 1.0]) if parts is None else _fitted(validation, parts)
        scores = parts or [lambda p: p.output[1]]
        cells = []
        for found in sets.values():
            log_scale = (_columns(found, scores) @ weights).astype(np.float32)
            cells += _quality(found, log_scale)
        _row(label, *cells)
    blind = [_quality(p, np.zeros(_known(p).sum(), np.float32))[:2] + ['-'] for p in sets.values()]
    _row('nothing (blind)', *sum(blind, []))


def _known(pictures: Sequence[Picture]) -> Array:
    return np.array([np.isfinite(p.truth) & (p.truth > 0) for p in pictures])


def _columns(pictures: Sequence[Picture], scores: Sequence[Score]) -> Array:
    known = _known(pictures)
    columns = [np.array([score(p) for p in pictures])[known] for score in scores]
    return np.stack([np.ones(known.sum()), *columns], -1)


def _fitted(pictures: Sequence[Picture], scores: Sequence[Score]) -> Array:
    """Return the weights of log(b) under which these errors are the likeliest (Laplace)."""
    x, (depth, truth) = _columns(pictures, scores), _judged(pictures)
    error = np.abs(depth - truth) / depth

    def loss(weights: Array) -> tuple[float, Array]:
        log_scale = x @ weights
        ratio = error * np.exp(-log_scale)
        return float((log_scale + ratio).mean()), x.T @ (1 - ratio) / len(x)

    start = np.eye(x.shape[1])[0] * np.log(error.mean())
    return minimize(loss, start, jac=True, method='BFGS').x


def _judged(pictures: Sequence[Picture]) -> tuple[Array, Array]:
    """Return the depths, and the true ones, of all pixels that have both."""
    known = _known(pictures)
    depth, truth = ([getattr(p, name) for p in pictures] for name in ('depth', 'truth'))
    return np.array(depth)[known], np.array(truth)[known]


def _quality(pictures: Sequence[Picture], log_scale: Array) -> list[str]:
    judged = *_judged(pictures), right_probability(log_scale)
    found = sparsification(ranking_sums(*judged))
    rows = confidence_rows(confidence_sums(*judged, RIGHT_WITHIN))
    ece = sum(r['share'] * abs(r['predicted'] - r['right']) for r in rows)
    return [*(f'{found[name]["ause"]:.3f}' for name in MEASURES), f'{ece:.3f}']


def _head(title: str, *cells: str) -> None:
    print(f'\n### {title}\n')
    print('|', ' | '.join(cells), '|\n' + '|---' * len(cells) + '|')


def _row(*cells: object) -> None:
    print('|', ' | '.join(map(str, cells)), '|', flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--data', type=Path, help='folder of recorded data')
    parser.add_argument('--every', type=int, default=6, help='frames between two of the kitchen')
    return parser.parse_args()


if __name__ == '__main__':
    main()

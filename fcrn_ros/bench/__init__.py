"""``fcrn bench``: what each engine and each stage costs on this machine, as rows for programs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """
    What to measure.

    :param model: a shipped model's name or a path; '' is the default.
    :param naive: add ResNet-50 at 228 x 304, with the naive form that public ports run.
    :param backends: the networks alone, without the stages around them and the node.
    :param end_to_end: add publishing, and the node in its own process, over DDS.
    :param repeats: of each timing.
    :param batch: images at a time, of the networks.
    :param images: a folder of pictures to compare depths on; None takes the bundled clip.
    """

    model: str = ''
    naive: bool = False
    backends: bool = False
    end_to_end: bool = True
    repeats: int = 30
    batch: int = 1
    images: Path | None = None


def measure(plan: Plan, say: Say = lambda what: None) -> list[Row]:
    """
    Measure everything in one run, so that the ratios hold.

    :param say: is told what is measured next.
    :return: rows with ``what``, ``model``, ``backend``, ``precision``, ``form``, ``batch``, ``ms``
        {``median``, ``p95``, ``p99``}, ``images_per_s`` and ``share_of_ceiling``; those of
        networks have more, see :mod:`fcrn_ros.bench.engines`.
    :raises ModelError: the model is absent or damaged.
    :raises OSError: the pictures cannot be read.
    :raises ValueError: there are none.
    """
    from fcrn_ros.bench.pictures import find_pictures
    from fcrn_ros.model.weights import find_model, load_spec, verify

    verify(find_model(plan.model), load_spec(plan.model))
    rows = _networks(plan, find_pictures(plan.images), say)
    return rows if plan.backends else rows + _around(plan, say)


def _networks(plan: Plan, pictures: list[Any], say: Say) -> list[Row]:
    from fcrn_ros.bench import ceilings
    from fcrn_ros.bench.engines import network_rows, subjects
    from fcrn_ros.engine.threads import all_cores
    from fcrn_ros.engine.torch_engine import find_device

    device, rows = find_device('auto'), []
    for backend, precision in ceilings.kinds(device):
        say(f'matrix product: {backend} {precision}')
        rows.append(ceilings.ceiling(backend, precision, device, all_cores(), plan.repeats))
    peak = ceilings.peaks(rows)
    compared = plan.naive and _compares(plan.model)
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(subjects(device, plan.batch, compared))
        rows += network_rows(plan.model, pictures, peak, plan.repeats, chosen, say)
        if plan.naive and not compared:
            model = _random_model(Path(folder), pictures)
            chosen = [s for s in subjects(device, plan.batch, True) if s.backend != 'auto']
            rows += network_rows(model, pictures, peak, plan.repeats, chosen, say)
    return rows


def _compares(model: str) -> bool:
    """Whether a model is a ResNet-50 that has a naive form; says why where a named one has not."""
    from fcrn_ros.bench.network import why_not_naive
    from fcrn_ros.model.weights import load_model

    network, spec = load_model(model)
    encoder = network.architecture.encoder
    reason = why_not_naive(network)
    if encoder != 'resnet50':
        reason = f'its encoder is {encoder}; expected resnet50'
    if reason and model:
        print(f'{spec.name}: {reason}: the naive form is that of random weights', file=sys.stderr)
    return not reason


def _random_model(folder: Path, pictures: list[Any]) -> str:
    from fcrn_ros.bench.pictures import resized
    from fcrn_ros.bench.random_model import SPEC, save_random_model

    return str(save_random_model(folder, resized(pictures, SPEC.input_size)))


def _around(plan: Plan, say: Say) -> list[Row]:
    """Measure the stages around the network, and the node where ROS 2 is there."""
    from fcrn_ros.bench import stages

    say('stages')
    rows = stages.stage_rows(plan.model, plan.repeats)
    if plan.end_to_end and find_spec('rclpy') is None:
        print('no ROS 2 (rclpy): the node is not measured', file=sys.stderr)
    elif plan.end_to_end:
        from fcrn_ros.bench.end_to_end import end_to_end_rows, publish_rows

        say('the node')
        rows += publish_rows(plan.repeats) + end_to_end_rows(plan.model)
    return rows

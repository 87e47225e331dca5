"""The stages around the network: decode, preprocess, engine, scale, products, messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from fcrn_ros.bench.timing import milliseconds, row
from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.image import rgb_from_compressed, rgb_from_msg
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline, Picture
from fcrn_ros.recording import Frame
from fcrn_ros.scaling.flicker import Flicker
from fcrn_ros.scaling.ground import find_ground
from fcrn_ros.settings import Settings
from fcrn_ros.sources import CLIP_MOUNTING, bundled_clip
from fcrn_ros.space.edges import flying_pixels
from fcrn_ros.space.surroundings import Surroundings

LENS = 'plumb_bob', (-0.2, 0.05, 0.001, 0.001, 0.0)
SETTINGS = Settings(min_confidence=0.3)
PRODUCTS = ('points', 'marking', 'clearing', 'scan')
Calls = Mapping[str, Callable[[], object]]


def stage_rows(model: str, repeats: int) -> list[dict[str, Any]]:
    """Time each stage on a 640x480 picture of the bundled clip, and the whole pipeline."""
    pipeline = DepthPipeline.open(model)
    frame = next(iter(bundled_clip().frames))
    entries = _rows(_calls_to_depth(pipeline, frame), repeats)
    for entry in entries:
        if entry['what'].startswith(('engine', 'pipeline')):
            entry['threads'] = half_of_the_cores()
    native = pipeline(frame.image, frame.camera)
    pipeline.options = Options(resolution='camera')
    full = pipeline(frame.image, frame.camera)
    for depth, size in ((native, ''), (full, ', 640x480')):
        entries += _rows(_calls_from_depth(depth), repeats, size)
        entries += _rows(_message_calls(depth), repeats, size)
    return entries


def _rows(calls: Calls, repeats: int, behind: str = '') -> list[dict[str, Any]]:
    return [row(what + behind, milliseconds(call, repeats)) for what, call in calls.items()]


def _calls_to_depth(pipeline: DepthPipeline, frame: Frame) -> Calls:
    image, camera = frame.image, frame.camera
    assert camera is not None
    rows, columns = pipeline.engine.spec.input_size
    small = pipeline.prepare(Picture(image, camera)).inputs
    jpeg = SimpleNamespace(format='jpeg', data=cv2.imencode('.jpg', image)[1].ravel())
    lens = replace(camera, distortion_model=LENS[0], distortion=LENS[1])
    return {
        'decode bgr8': lambda: rgb_from_msg(_message(image, 'bgr8')),
        'decode jpeg': lambda: rgb_from_compressed(jpeg),
        'preprocess: resize': lambda: cv2.resize(
            image, (columns, rows), interpolation=cv2.INTER_AREA
        ),
        'engine': lambda: pipeline.engine.infer(small),
        'pipeline': lambda: pipeline(image, camera),
        'pipeline, distorted lens': lambda: pipeline(image, lens),
    }


def _calls_from_depth(frame: DepthFrame) -> Calls:
    """Return what may follow on depth; each product by itself, with what it needs at hand."""
    camera, flicker = frame.require_camera(), Flicker(0.3)
    products = Surroundings([frame], CLIP_MOUNTING, SETTINGS)
    times = iter(range(1_000_000))

    def anew(*names: str) -> Callable[[], None]:
        def call() -> None:
            for name in names:
                products.__dict__.pop(name, None)  # where cached_property keeps it
            for name in names:
                getattr(products, name)

        return call

    def everything(settings: Settings) -> None:
        new = Surroundings([frame], CLIP_MOUNTING, settings)
        for name in PRODUCTS:
            getattr(new, name)

    everything(SETTINGS)  # lays out the scan, once per camera
    return {
        'scale: flicker': lambda: flicker.factor(frame.depth, next(times) / 30),
        'scale: floor': lambda: find_ground(frame.depth, camera, CLIP_MOUNTING, frame.confidence),
        'edge filter': lambda: flying_pixels(frame.depth, 1.0, frame.enlarged),
        'trusted depth': anew('_depths'),
        'points': anew('_clouds', 'points'),
        'points/marking': anew('_all', 'marking'),
        'points/clearing': anew('_ends', 'clearing'),
        'scan': anew('scan'),
        'all clouds and scan': lambda: everything(SETTINGS),
        'all, voxels of 5 cm': lambda: everything(replace(SETTINGS, voxel_size=0.05)),
    }


def _message_calls(frame: DepthFrame) -> Calls:
    try:
        from std_msgs.msg import Header

        from fcrn_ros import messages
    except ImportError:
        return {}
    header = Header()
    points = Surroundings([frame], CLIP_MOUNTING, SETTINGS).points
    return {
        'message: depth': lambda: messages.depth_to_msg(header, frame.depth),
        'message: compressed depth': lambda: messages.compressed_depth_to_msg(header, frame.depth),
        'message: compressed color': lambda: messages.compressed_color_to_msg(header, frame.color),
        'message: points': lambda: messages.points_to_msg(header, points),
    }


def _message(image: np.ndarray, encoding: str) -> SimpleNamespace:
    height, width = image.shape[:2]
    return SimpleNamespace(
        height=height,
        width=width,
        step=image.strides[0],
        encoding=encoding,
        is_bigendian=0,
        data=image.reshape(-1),
    )

"""The stages around the network: decode, preprocess, engine, points, messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fcrn_ros.bench.timing import milliseconds, row
from fcrn_ros.camera import Camera
from fcrn_ros.cloud import colored_points, trusted_depth
from fcrn_ros.engine.threads import half_of_the_cores
from fcrn_ros.image import rgb_from_compressed, rgb_from_msg
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
LENS = Camera(640, 480, 525.0, 525.0, 319.5, 239.5, 'plumb_bob', (-0.2, 0.05, 0.001, 0.001, 0.0))


def stage_rows(model: str, repeats: int) -> list[dict[str, Any]]:
    """Time each stage on a 640x480 image, and the whole pipeline."""
    pipeline = DepthPipeline.open(model)
    image = _picture()
    rows_, columns = pipeline.engine.spec.input_size
    small = _picture()[:rows_, :columns][None]
    frame = pipeline(image, CAMERA)
    jpeg = SimpleNamespace(format='jpeg', data=cv2.imencode('.jpg', image)[1].ravel())
    calls = {
        'decode bgr8': lambda: rgb_from_msg(_message(image, 'bgr8')),
        'decode jpeg': lambda: rgb_from_compressed(jpeg),
        'preprocess: resize': lambda: cv2.resize(
            image, (columns, rows_), interpolation=cv2.INTER_AREA
        ),
        'engine': lambda: pipeline.engine.infer(small),
        'points': lambda: colored_points(frame, trusted_depth(frame, 0.3)),
        'pipeline': lambda: pipeline(image, CAMERA),
        'pipeline, distorted lens': lambda: pipeline(image, LENS),
    }
    entries = [row(what, milliseconds(call, repeats)) for what, call in calls.items()]
    for entry in entries:
        if entry['what'] in ('engine', 'pipeline'):
            entry['threads'] = half_of_the_cores()
    pipeline.options = Options(resolution='camera')
    full = pipeline(image, CAMERA)
    ms = milliseconds(lambda: colored_points(full, trusted_depth(full, 0.3)), repeats)
    entries.append(row('points, 640x480', ms))
    return entries + _message_rows(frame, full, repeats)


def _picture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 5)  # type: ignore[return-value]


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


def _message_rows(frame: Any, full: Any, repeats: int) -> list[dict[str, Any]]:
    try:
        from std_msgs.msg import Header

        from fcrn_ros.messages import depth_to_msg, points_to_msg
    except ImportError:
        return []
    header = Header()
    clouds = colored_points(frame), colored_points(full)
    calls = {
        'message: depth': lambda: depth_to_msg(header, frame.depth),
        'message: points': lambda: points_to_msg(header, clouds[0]),
        'message: points, 640x480': lambda: points_to_msg(header, clouds[1]),
    }
    return [row(what, milliseconds(call, repeats)) for what, call in calls.items()]

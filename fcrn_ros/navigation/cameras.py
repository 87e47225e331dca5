"""Where a camera's calibration comes from: a file, a bag, or a live topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fcrn_ros.camera import IDENTITY, Camera
from fcrn_ros.navigation.node_settings import read_yaml
from fcrn_ros.recording import INFO_TYPE, find_topics, opened, topic_list, topic_types

# matrices of camera_info: name in the message, in a calibration file, numbers
MATRICES = (
    ('k', 'camera_matrix', 9),
    ('d', 'distortion_coefficients', None),
    ('r', 'rectification_matrix', 9),
    ('p', 'projection_matrix', 12),
)
LISTENING_SECONDS = 2.0


def camera_from_file(path: Path) -> Camera:
    """
    Read a calibration file as ROS's calibrators write it, or a camera_info printed as YAML.

    :param path: YAML with image_width, image_height, camera_matrix and so on, or with width,
        height, k and so on.
    :raises ValueError: something is missing or malformed; the message names it.
    :raises FileNotFoundError: there is no such file.
    """
    document = read_yaml(path)
    message = 'k' in document
    info = SimpleNamespace(
        width=_size(path, document, 'width' if message else 'image_width'),
        height=_size(path, document, 'height' if message else 'image_height'),
        distortion_model=str(document.get('distortion_model', '')),
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
        binning_x=int(document.get('binning_x', 0)),
        binning_y=int(document.get('binning_y', 0)),
    )
    if message and isinstance(document.get('roi'), Mapping):
        info.roi = SimpleNamespace(**document['roi'])
    for short, long, count in MATRICES:
        setattr(info, short, _numbers(path, document, short if message else long, count))
    try:
        return Camera.from_msg(info)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _size(path: Path, document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'{path} has {name} {value!r}; expected a whole number of pixels')
    return value


def _numbers(
    path: Path, document: Mapping[str, Any], name: str, count: int | None
) -> Sequence[float]:
    """Return a matrix row by row; what a file may leave out has a value that changes nothing."""
    value = document.get(name)
    if isinstance(value, Mapping):
        value = value.get('data')
    if value is None and name not in ('k', 'camera_matrix'):
        return IDENTITY if name in ('r', 'rectification_matrix') else [0.0] * (count or 0)
    if not isinstance(value, list) or not all(isinstance(x, int | float) for x in value):
        raise ValueError(f'{path} has {name} {value!r}; expected a list of numbers')
    if count is not None and len(value) != count:
        raise ValueError(f'{path} has {name} of {len(value)} numbers; expected {count}')
    return value


def camera_from_bag(path: Path, topic: str = '') -> Camera:
    """
    Read the first camera_info of a bag.

    :param path: a ROS 1 .bag, a rosbag2 folder, or its .mcap or .db3 file.
    :param topic: of the camera_info; '' takes the one beside the colour images.
    :raises ValueError: the bag has none, or cannot be read.
    :raises FileNotFoundError: there is no such path.
    """
    with opened(path) as reader:
        types = topic_types(reader)
        chosen = topic or find_topics(types).info
        connections = [
            c for c in reader.connections if c.topic == chosen and c.msgtype == INFO_TYPE
        ]
        for connection, _, data in reader.messages(connections=connections) if connections else ():
            return Camera.from_msg(reader.deserialize(data, connection.msgtype))
    raise ValueError(
        f'{path}: no camera_info on {chosen or "a topic beside the colour images"}; '
        f'the bag has {topic_list(types)}'
    )


def camera_from_topic(topic: str, seconds: float = LISTENING_SECONDS) -> Camera:
    """
    Listen to a live camera_info.

    :param topic: its name.
    :param seconds: how long to listen, once the topic is found.
    :raises ValueError: nothing came; the message names the camera_info topics that there are.
    :raises ModuleNotFoundError: there is no rclpy.
    """
    from fcrn_ros.doctor.listening import CAMERA_INFO, listen

    graph = listen(topic, topic, seconds)
    if graph.camera_info.last is None:
        others = ', '.join(graph.of_type(CAMERA_INFO)) or 'none'
        why = 'nothing came on' if graph.camera_info.offers else 'nobody publishes'
        raise ValueError(f'{why} {graph.camera_info.name}; camera_info topics found: {others}')
    return Camera.from_msg(graph.camera_info.last)

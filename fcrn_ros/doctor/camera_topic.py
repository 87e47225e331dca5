"""Judges camera_info: whether it comes, is calibrated, and belongs to the images."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fcrn_ros.doctor.finding import Finding, ok, one_line, problem, warning
from fcrn_ros.doctor.image_topic import SUFFIX, publishers
from fcrn_ros.doctor.listening import CAMERA_INFO, Graph

FIELD_OF_VIEW = (20.0, 150.0)  # degrees, horizontal; outside it a calibration is hardly right


def topic(graph: Graph) -> Iterator[Finding]:
    """Judge whether somebody publishes camera_info, and whether it comes."""
    info, harm = graph.camera_info, 'without it no points, and the depth has a wrong scale'
    if not info.offers:
        yield problem('camera_info', f'nobody publishes {info.name}: {harm}', _candidates(graph))
    elif info.types != [CAMERA_INFO]:
        found = f'{info.name} is of type {", ".join(info.types)}; expected {CAMERA_INFO}'
        yield problem('camera_info', found, _candidates(graph))
    else:
        yield publishers('camera_info', info)
        yield _arrival(graph, harm)


def _candidates(graph: Graph) -> str:
    names = graph.of_type(CAMERA_INFO)
    if not names:
        return "turn on camera_info in the camera's driver"
    sibling = f'{graph.image.name.removesuffix(SUFFIX).rsplit("/", 1)[0]}/camera_info'
    best = sibling if sibling in names else names[0]
    return (
        f'found {", ".join(names)}; run with camera_info:={best} '
        f'(node: --ros-args -r camera_info:={best}; fcrn doctor --camera-info {best})'
    )


def _arrival(graph: Graph, harm: str) -> Finding:
    info = graph.camera_info
    if info.last is not None:
        return ok('camera_info', f'{info.name}, {len(info.stamps)} in {graph.seconds:g} s')
    found = f'none came on {info.name} in {graph.seconds:g} s: {harm}'
    if any(offer.latched for offer in info.offers):
        return problem('camera_info', found, 'publish it with every image, not once (latched)')
    return problem('camera_info', found, 'have the driver publish it with every image')


def calibration(graph: Graph) -> Iterator[Finding]:
    """Judge whether the camera can be used, and whether its focal length is plausible."""
    info = graph.camera_info.last
    if info is None:
        return
    from fcrn_ros.camera import Camera, is_rectified

    try:
        camera = Camera.from_msg(info, is_rectified(graph.image.name))
    except ValueError as error:
        advice = 'calibrate the camera and give its driver the file (camera_info_url)'
        yield problem('calibration', one_line(error), advice)
        return
    lens = f'{camera.distortion_model}, rectified' if camera.distorted else 'no distortion'
    seen = camera.pinhole()
    angle = 2 * math.degrees(math.atan(seen.width / 2 / seen.fx))
    found = f'fx {seen.fx:.1f}, fy {seen.fy:.1f}, {angle:.0f} degrees wide, {lens}'
    if FIELD_OF_VIEW[0] <= angle <= FIELD_OF_VIEW[1]:
        yield ok('calibration', found)
    else:
        advice = 'calibrate at the resolution in use: K and the size do not look like one camera'
        yield warning('calibration', found, advice)


def size(graph: Graph) -> Iterator[Finding]:
    """Judge whether camera_info and image are of one size."""
    image, info = graph.image.last, graph.camera_info.last
    if image is None or info is None:
        return
    from fcrn_ros.camera import Camera, is_rectified

    try:
        camera = Camera.from_msg(info, is_rectified(graph.image.name))
        width, height = _image_size(image)
    except ValueError:  # said by other checks
        return
    if (camera.width, camera.height) == (width, height):
        yield ok('camera size', f'{width}x{height}, as the image')
    else:
        found = f'camera_info says {camera.width}x{camera.height}, the image is {width}x{height}'
        advice = 'give the driver the calibration of this resolution, or name its camera_info'
        yield problem('camera size', found, advice)


def _image_size(image: object) -> tuple[int, int]:
    if hasattr(image, 'width') and hasattr(image, 'height'):
        return int(image.width), int(image.height)
    from fcrn_ros.image import rgb_from_compressed

    rgb = rgb_from_compressed(image)
    return rgb.shape[1], rgb.shape[0]


def header(graph: Graph) -> Iterator[Finding]:
    """Judge whether camera_info has the images' frame and stamps."""
    image, info = graph.image.last, graph.camera_info.last
    if image is None or info is None:
        return
    ours, theirs = info.header.frame_id, image.header.frame_id
    common = set(graph.image.stamps) & set(graph.camera_info.stamps)
    if ours != theirs:
        advice = 'name the camera_info of this camera, or set one frame_id in its driver'
        yield warning('camera header', f'frame {ours!r}, the image has {theirs!r}', advice)
    elif not common:
        advice = (
            'have the driver stamp both alike; the node takes the newest camera_info, '
            'nodes that pair them by stamp get none'
        )
        yield warning('camera header', 'no stamp of it is the stamp of an image', advice)
    else:
        yield ok('camera header', 'frame and stamps are those of the images')


JUDGES = {
    'camera_info': topic,
    'calibration': calibration,
    'camera size': size,
    'camera header': header,
}

"""Judges the camera's image topic: publishers, delivery, encoding, frame, stamp."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from fcrn_ros.doctor.finding import Finding, ok, one_line, problem, warning
from fcrn_ros.doctor.listening import COMPRESSED, RAW, Graph, Topic
from fcrn_ros.doctor.middleware import profile_advice

LOST_SHARE = 0.05  # more than this is worth a warning
STAMP_SECONDS = 5.0  # farther from now is no delay but another clock
SUFFIX = '/compressed'


def topic(graph: Graph) -> Iterator[Finding]:
    """Judge whether somebody publishes images there, of which type, and on terms that fit."""
    image = graph.image
    if not image.offers:
        yield _absent(graph)
    elif image.types not in ([RAW], [COMPRESSED]):
        found = f'{image.name} is of type {", ".join(image.types)}; expected {RAW}'
        yield problem('image topic', found, _candidates(graph) or 'name the image topic')
    else:
        yield _transport(image)
        yield publishers('image', image)


def _absent(graph: Graph) -> Finding:
    name = graph.image.name
    advice = _candidates(graph)
    if advice:
        return problem('image topic', f'nobody publishes {name}', advice)
    advice = f"start the camera's driver, in ROS domain {graph.domain} as this shell"
    return problem('image topic', f'nobody publishes {name}, nor any other image', advice)


def _candidates(graph: Graph) -> str:
    names = graph.of_type(RAW, COMPRESSED)
    if not names:
        return ''
    best = names[0].removesuffix(SUFFIX)
    how = ' -p image_transport:=compressed' if names[0].endswith(SUFFIX) else ''
    return (
        f'found {", ".join(names)}; run with image:={best} '
        f'(node: --ros-args -r image:={best}{how}; fcrn doctor --image {names[0]})'
    )


def _transport(image: Topic) -> Finding:
    found = f'{image.name}, {image.types[0]}'
    if image.types == [RAW]:
        return ok('image topic', found)
    base = image.name.removesuffix(SUFFIX)
    remap = f'image:={base}' if base != image.name else f'image/compressed:={image.name}'
    how = f'image_transport:=compressed and {remap}'
    return ok('image topic', f'{found}; the node reads it with {how}')


def publishers(subject: str, heard: Topic) -> Finding:
    """Judge whether a topic's publishers and the node's subscription fit together."""
    subject = f'{subject} QoS'
    mismatch = next((offer for offer in heard.offers if offer.mismatch), None)
    if mismatch is not None:
        found = f'{mismatch.node} does not fit the node: {mismatch.mismatch}'
        return problem(subject, found, f'have {mismatch.node} publish reliable and volatile')
    kind = 'reliable' if all(offer.reliable for offer in heard.offers) else 'best effort'
    names = ', '.join(sorted({offer.node for offer in heard.offers}))
    several = f'{len(heard.offers)} publishers' if len(heard.offers) > 1 else 'publisher'
    found = f'{several} {names}, {kind}'
    if len(heard.offers) > 1:
        return warning(subject, found, 'let one camera alone publish on this topic')
    return ok(subject, found)


def rate(graph: Graph) -> Iterator[Finding]:
    """Judge whether images come, how often, and which share gets lost on the way."""
    image = graph.image
    if not image.offers or image.types not in ([RAW], [COMPRESSED]):
        return
    if not image.stamps:
        found = f'none came on {image.name} in {graph.seconds:g} s'
        if graph.camera_info.stamps:
            found += ' (camera_info comes, so large messages get lost)'
        advice = f'check that the camera streams; {_loss_advice(graph)}'
        yield problem('images', found, advice)
        return
    lost = lost_share(image.stamps, graph.camera_info.stamps)
    found = f'{len(image.stamps)} in {graph.seconds:g} s{_hertz(image)}, {lost:.0%} lost'
    if lost > LOST_SHARE:
        yield warning('images', found, _loss_advice(graph))
    else:
        yield ok('images', found)


def _hertz(heard: Topic) -> str:
    span = heard.arrivals[-1] - heard.arrivals[0]
    return f', {(len(heard.arrivals) - 1) / span:.1f} Hz' if span > 0 else ''


def lost_share(stamps: list[int], companions: list[int]) -> float:
    """
    Estimate which share of the published images did not arrive.

    By the camera_info messages without an image, where both are stamped alike: these small ones
    arrive where images are lost. Else by the gaps between the images' stamps, which a camera that
    pauses shows too. Worked number: stamps at 0, 1, 2, 4 periods lose 1 of 5.

    :param stamps: of the images [ns].
    :param companions: of the camera_info messages [ns].
    """
    came = set(stamps)
    sent = {stamp for stamp in companions if min(came) <= stamp <= max(came)}
    if len(came & sent) >= 0.9 * len(came):
        return len(sent - came) / len(sent)
    return _lost_by_gaps(sorted(came))


def _lost_by_gaps(stamps: list[int]) -> float:
    gaps = [b - a for a, b in zip(stamps, stamps[1:], strict=False)]
    if len(gaps) < 3:
        return 0.0
    period = statistics.quantiles(gaps, n=5)[0]  # low, so that it is one period if most get lost
    missing = sum(max(0, round(gap / period) - 1) for gap in gaps)
    return missing / (missing + len(stamps))


def _loss_advice(graph: Graph) -> str:
    if not all(offer.reliable for offer in graph.image.offers):
        advice = 'have the camera publish reliable (the node then reads reliable)'
        return f'{advice}, or {profile_advice()}' if 'fastrtps' in graph.rmw else advice
    return 'machine or link is full: lower image size or rate, or use image_transport:=compressed'


def encoding(graph: Graph) -> Iterator[Finding]:
    """Judge whether the node can read the images, by reading one."""
    image = graph.image.last
    if image is None:
        return
    from fcrn_ros.image import DEPTHS, LAYOUTS, rgb_from_compressed, rgb_from_msg

    kind = getattr(image, 'encoding', None) or getattr(image, 'format', '')
    try:
        rgb = rgb_from_msg(image) if hasattr(image, 'encoding') else rgb_from_compressed(image)
    except ValueError as error:
        advice = "set the driver's pixel format to rgb8, bgr8 or mono8"
        if kind in DEPTHS and kind not in LAYOUTS:
            advice = "this is a depth image: name the colour camera's topic"
        yield problem('image encoding', one_line(error), advice)
        return
    yield ok('image encoding', f'{rgb.shape[1]}x{rgb.shape[0]} {kind}')


def frame(graph: Graph) -> Iterator[Finding]:
    """Judge whether the images have a frame, and an optical one (REP 103)."""
    image = graph.image.last
    if image is None:
        return
    name = image.header.frame_id
    if not name:
        advice = "set the driver's frame_id to the optical frame: TF cannot place the points"
        yield problem('image frame', 'frame_id is empty', advice)
    elif 'optical' in name:
        yield ok('image frame', name)
    else:
        advice = (
            'set it to the optical frame (z forward, x right; named ..._optical_frame by custom): '
            'in a frame with x forward the cloud lies rotated'
        )
        yield warning('image frame', f'{name} does not look like an optical frame', advice)


def stamp(graph: Graph) -> Iterator[Finding]:
    """Judge whether the images carry the time of now, by the clock in use."""
    image = graph.image
    if image.last is None:
        return
    if not image.stamps[-1]:
        yield problem('image stamp', 'is zero', 'have the driver stamp its images')
    elif len(image.stamps) > 1 and len(set(image.stamps)) == 1:
        advice = 'have the driver stamp each image with its own time'
        yield problem('image stamp', 'is the same in every image', advice)
    else:
        yield _age(graph, image.stamps[-1] / 1e9)


def _age(graph: Graph, stamped: float) -> Finding:
    simulated = graph.clock is not None
    now = graph.clock if graph.clock is not None else graph.image.arrivals[-1]
    age, clock = now - stamped, '/clock' if simulated else "this machine's clock"
    found = f'{age:.3f} s old by {clock}'
    if abs(age) <= STAMP_SECONDS:
        return ok('image stamp', found)
    if simulated:
        advice = 'have the camera run with use_sim_time:=true, or stop what publishes /clock'
    else:
        advice = (
            'a bag or a simulator: play it with --clock, run nodes with use_sim_time:=true; '
            'a camera on another machine: synchronise the clocks (chrony)'
        )
    return warning('image stamp', found, advice)


JUDGES = {
    'image topic': topic,
    'images': rate,
    'image encoding': encoding,
    'image frame': frame,
    'image stamp': stamp,
}

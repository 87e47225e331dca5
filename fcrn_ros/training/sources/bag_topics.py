"""Which topics of a bag are read, and as what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fcrn_ros.recording import (
    IMAGE_TYPES,
    INFO_TYPE,
    SAME_TIME,
    Topics,
    find_topics,
    info_topic,
    topic_list,
)

ODOMETRY_TYPE = 'nav_msgs/msg/Odometry'
TRANSFORM_TYPES = ('tf2_msgs/msg/TFMessage', 'tf/msg/tfMessage')
STATIC = 'tf_static'  # how the topic of transforms that always hold is named
ROLES = ('image', 'image_info', 'depth', 'depth_info', 'right', 'right_info', 'odometry')
PARTS = ('depth', 'stereo', 'pose')
# what the right camera's topics are called beside the left one's
RIGHT_NAMES = {'left': 'right', 'infra1': 'infra2', 'cam0': 'cam1', 'image_0': 'image_1'}


@dataclass(frozen=True)
class BagOptions:
    """
    What to read of a bag; a topic that is '' is found by its type and name.

    :param image: colour, or the left picture of a stereo pair.
    :param depth: depth images, of the colour camera or of another.
    :param camera_info: of ``image``.
    :param depth_info: of ``depth``.
    :param right: the right picture of a stereo pair.
    :param right_info: of ``right``.
    :param odometry: where the robot is; '' takes the first nav_msgs/Odometry that reaches the
        camera, or else /tf.
    :param tolerance: pictures of one moment have stamps at most this far apart [s].
    :param need: of depth, stereo and pose, what every sample has. Without any, depth where the
        bag has it, or else stereo where it has that; or else it is a video.
    :param want: what a sample has where the bag has it.
    :raises ValueError: the tolerance is not positive, or a name is not one of these.
    """

    image: str = ''
    depth: str = ''
    camera_info: str = ''
    depth_info: str = ''
    right: str = ''
    right_info: str = ''
    odometry: str = ''
    tolerance: float = SAME_TIME
    need: tuple[str, ...] = ()
    want: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        if not (0 < self.tolerance < math.inf):
            raise ValueError(f'tolerance is {self.tolerance:g} s; expected a positive time')
        for name in (*self.need, *self.want):
            if name not in PARTS:
                raise ValueError(f'{name!r} cannot be read; expected one of {", ".join(PARTS)}')


@dataclass(frozen=True)
class BagTopics:
    """
    The topics to read, '' where there is none.

    :param transforms: all topics of transforms.
    :param need: of depth, stereo and pose, what every sample has.
    """

    image: str
    image_info: str
    depth: str = ''
    depth_info: str = ''
    right: str = ''
    right_info: str = ''
    odometry: str = ''
    transforms: tuple[str, ...] = ()
    need: tuple[str, ...] = ()

    def roles(self, only: Sequence[str] = ()) -> dict[str, list[str]]:
        """Return topic -> what it is read as; ``only`` leaves out other roles."""
        named = [(role, getattr(self, role)) for role in ROLES]
        roles: dict[str, list[str]] = {}
        for role, topic in (*named, *(('transforms', topic) for topic in self.transforms)):
            if topic and (not only or role in only):
                roles.setdefault(topic, []).append(role)
        return roles


def choose_topics(types: Mapping[str, str], options: BagOptions) -> BagTopics:
    """
    Choose the topics of a bag.

    :param types: topic -> message type.
    :raises ValueError: one that is named or needed is not there; the message lists what the bag
        has and says which option names it.
    """
    types = dict(types)
    _require_named(types, options)
    found = _found(types, options)
    asked = {*options.need, *options.want}
    right = options.right or _right(types, found.image)
    info = options.camera_info or found.info or _only_info(types)
    topics = BagTopics(
        found.image,
        info,
        depth=found.depth if 'depth' in asked else '',
        right=right if 'stereo' in asked else '',
    )
    topics = replace(
        topics,
        depth_info=topics.depth and (options.depth_info or info_topic(types, topics.depth)),
        right_info=topics.right and (options.right_info or info_topic(types, topics.right)),
        transforms=tuple(t for t, kind in sorted(types.items()) if kind in TRANSFORM_TYPES),
    )
    topics = replace(topics, need=options.need or _first_there(topics))
    if 'pose' in asked:
        topics = replace(topics, odometry=options.odometry or _first(types, ODOMETRY_TYPE))
    _require_needed(types, topics)
    return topics


def _found(types: dict[str, str], options: BagOptions) -> Topics:
    try:
        return find_topics(types, options.image or _left(types, options), options.depth)
    except ValueError as err:
        raise ValueError(f'{err}; name one with the option image') from err


def _require_named(types: dict[str, str], options: BagOptions) -> None:
    kinds = {
        **dict.fromkeys(('image', 'depth', 'right'), IMAGE_TYPES),
        **dict.fromkeys(('camera_info', 'depth_info', 'right_info'), (INFO_TYPE,)),
        'odometry': (ODOMETRY_TYPE,),
    }
    for option, expected in kinds.items():
        topic = getattr(options, option)
        if topic and types.get(topic) not in expected:
            raise ValueError(
                f'{option} topic {topic} is not in the bag as {" or ".join(expected)}; '
                f'it has {topic_list(types)}'
            )


def _require_needed(types: dict[str, str], topics: BagTopics) -> None:
    missing = [] if topics.image_info else [('camera_info', 'camera_info')]
    if 'depth' in topics.need and not topics.depth:
        missing.append(('depth image', 'depth'))
    if 'stereo' in topics.need and not topics.right:
        missing.append(('right picture', 'right'))
    if 'stereo' in topics.need and not topics.right_info:
        missing.append(('camera_info of the right picture', 'right_info'))
    if 'pose' in topics.need and not (topics.odometry or topics.transforms):
        missing.append(('odometry or transform', 'odometry'))
    for what, option in missing:
        raise ValueError(
            f'the bag has no topic that looks like a {what} for {topics.image}; name one with '
            f'the option {option}; it has {topic_list(types)}'
        )


def _first_there(topics: BagTopics) -> tuple[str, ...]:
    if topics.depth:
        return ('depth',)
    return ('stereo',) if topics.right and topics.right_info else ()


def _left(types: dict[str, str], options: BagOptions) -> str:
    """Return an image topic with a right partner where stereo is needed; '' leaves the choice."""
    if 'stereo' not in options.need:
        return ''
    return next((t for t in sorted(types) if _right(types, t)), '')


def _right(types: dict[str, str], image: str) -> str:
    """Return the topic that differs from an image's in saying right for left; '' without one."""
    for left, right in RIGHT_NAMES.items():
        partner = image.replace(left, right)
        if partner != image and {types.get(image), types.get(partner)} <= {*IMAGE_TYPES}:
            return partner
    return ''


def _first(types: dict[str, str], kind: str) -> str:
    return min((t for t, k in types.items() if k == kind), default='')


def _only_info(types: dict[str, str]) -> str:
    """Return the bag's camera_info where there is just one, and it is not named depth."""
    infos = [t for t, kind in types.items() if kind == INFO_TYPE]
    return infos[0] if len(infos) == 1 and 'depth' not in infos[0].lower() else ''

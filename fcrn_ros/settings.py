"""
Every node parameter, once: name, default, range, description.

The table here is the source of the declarations, of ``config/depth.yaml`` and of the table in
``docs/parameters.md``; ``python -m fcrn_ros.parameter_files`` rewrites those two files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from fcrn_ros.colormap import COLORMAPS
from fcrn_ros.engine import BACKENDS, PRECISIONS, Request
from fcrn_ros.engine.supply import BUILDS
from fcrn_ros.image import DEPTH_ENCODINGS
from fcrn_ros.mounting import Mounting
from fcrn_ros.options import RESOLUTIONS, VIEWS, Options
from fcrn_ros.scale import SCALES
from fcrn_ros.space.obstacles import Band
from fcrn_ros.space.sweep import ScanLimits

# what each of several cameras may have a value of its own of
OWN = ('camera_height', 'camera_pitch', 'camera_roll')


@dataclass(frozen=True)
class Settings:
    """
    The values of all parameters; see ``PARAMETERS`` for what they mean.

    :ivar own: of cameras that have their own value of one in ``OWN``, for example
        ``front.camera_pitch``.
    """

    model: str = ''
    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    build: str = 'background'
    image_transport: str = 'raw'
    rectify: str = 'auto'
    autostart: bool = True
    cameras: tuple[str, ...] = ('',)
    views: str = 'auto'
    depth_encoding: str = '32FC1'
    resolution: str = 'native'
    scale: str = 'focal'
    scale_smoothing: float = 0.0
    camera_height: float = 0.0
    camera_pitch: float = 0.0
    camera_roll: float = 0.0
    base_frame: str = ''
    min_range: float = 0.3
    max_range: float = 10.0
    min_confidence: float = 0.0
    edge_filter: float = 1.0
    voxel_size: float = 0.0
    obstacle_min_height: float = 0.15
    obstacle_max_height: float = 2.0
    obstacle_depth_error: float = 0.2
    scan_min_height: float = 0.1
    scan_max_height: float = 1.0
    scan_range_max: float = 4.0
    scan_frame: str = ''
    max_rate: float = 0.0
    stale_after: float = 0.0
    colormap: str = 'turbo'
    own: Mapping[str, float] = field(default_factory=dict)

    def mounting(self, camera: str) -> Mounting | None:
        """Return how a camera is held; None where its height is not given."""
        height, pitch, roll = (
            self.own.get(f'{camera}.{name}', getattr(self, name)) for name in OWN
        )
        return Mounting(height, pitch, roll) if height > 0 else None

    def obstacle_band(self) -> Band:
        """
        Return the heights of what ``points/marking`` has.

        :raises ValueError: they are not in order.
        """
        return Band(self.obstacle_min_height, self.obstacle_max_height, self.obstacle_depth_error)

    def scan_limits(self) -> ScanLimits:
        """
        Return what ``scan`` looks at.

        :raises ValueError: the heights or the ranges are not in order.
        """
        band = Band(self.scan_min_height, self.scan_max_height, self.obstacle_depth_error)
        return ScanLimits(band, self.min_range, self.scan_range_max)

    def options(self) -> Options:
        """
        Return what the pipeline needs of them.

        :raises ValueError: min_range is not below max_range.
        """
        return Options(
            self.resolution,
            self.scale,
            self.min_range,
            self.max_range,
            self.views,
            self.scale_smoothing,
        )

    def request(self) -> Request:
        """Return what the engine needs of them."""
        return Request(self.model, self.device, self.precision, self.threads)


@dataclass(frozen=True)
class Parameter:
    """
    One parameter's meaning.

    :param description: for people, in one sentence.
    :param choices: the allowed strings, or empty.
    :param low: the smallest allowed number.
    :param high: the largest.
    :param live: may change while the node runs.
    """

    description: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    live: bool = True

    @property
    def expected(self) -> str:
        """What is allowed, in words; '' for free text and switches."""
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        return f'{self.low:g} to {self.high:g}' if self.high > self.low else ''


PARAMETERS: dict[str, Parameter] = {
    'model': Parameter(
        'Model: the name of a shipped one or a path to a .safetensors file; empty is the default.',
        live=False,
    ),
    'backend': Parameter(
        'What runs the network; auto times what is installed once and takes the fastest.',
        BACKENDS,
        live=False,
    ),
    'device': Parameter('auto, cpu, cuda or cuda:N.', live=False),
    'precision': Parameter(
        'Arithmetic of the network; auto is fp16 on CUDA, bf16 where the CPU has it, else fp32; '
        'int8 has to be asked for.',
        PRECISIONS,
        live=False,
    ),
    'threads': Parameter(
        'Processor threads of the network; 0 takes half of the cores, for the rest of the robot.',
        high=256,
        live=False,
    ),
    'build': Parameter(
        'An engine that is not in the cache: background serves with PyTorch while it is built, '
        'block waits for it, never takes only what fcrn build has built.',
        BUILDS,
        live=False,
    ),
    'image_transport': Parameter(
        'raw reads image, compressed reads image/compressed (JPEG or PNG).',
        ('raw', 'compressed'),
        live=False,
    ),
    'rectify': Parameter(
        'auto rectifies by camera_info, unless the topic is an image_rect; never takes the '
        'image as rectified.',
        ('auto', 'never'),
        live=False,
    ),
    'autostart': Parameter('Configure and activate without being told to.', live=False),
    'cameras': Parameter(
        'Names of several cameras, for example [front, left]: the topics of each lie below its '
        'name, and camera_height, camera_pitch and camera_roll may be given below it too.',
        live=False,
    ),
    'views': Parameter(
        'auto cuts the picture of a very wide lens into several pinhole views that the cloud '
        'covers together; front takes the middle one alone.',
        VIEWS,
    ),
    'depth_encoding': Parameter(
        '32FC1: metres, NaN invalid, +Inf beyond max_range; 16UC1: millimetres, 0 for both.',
        DEPTH_ENCODINGS,
    ),
    'resolution': Parameter(
        "native: the network's output grid; camera: the camera's size.", RESOLUTIONS
    ),
    'scale': Parameter(
        "focal corrects depth by the camera's focal length against the training camera's; ground "
        'corrects it further by the floor, from the height of the camera.',
        SCALES,
    ),
    'scale_smoothing': Parameter(
        'Time over which changes of scale from frame to frame are smoothed [s]; 0 does not.',
        high=60.0,
    ),
    'camera_height': Parameter(
        'Of the optical centre above the floor [m]; 0 is not known.', high=100.0
    ),
    'camera_pitch': Parameter('Of the optical axis, downwards [rad].', low=-1.6, high=1.6),
    'camera_roll': Parameter('About the optical axis, to the right [rad].', low=-3.2, high=3.2),
    'base_frame': Parameter(
        'A TF frame on the floor, x ahead and z up, for example base_footprint: where the camera '
        'is in it is looked up in place of camera_height, camera_pitch and camera_roll.',
        live=False,
    ),
    'min_range': Parameter('Nearer depth is NaN [m].', low=0.0, high=100.0),
    'max_range': Parameter('Farther depth is +Inf [m].', low=0.1, high=1000.0),
    'min_confidence': Parameter(
        'Points of a lower confidence are left out of clouds and scan; 0 keeps all.',
        low=0.0,
        high=1.0,
    ),
    'edge_filter': Parameter(
        'How eagerly points between an object and what is behind it are left out of clouds and '
        'scan; 0 keeps all.',
        high=10.0,
    ),
    'voxel_size': Parameter(
        'points/marking and points/clearing have one point for each cube of this edge [m]; 0 '
        'keeps every point.',
        high=1.0,
    ),
    'obstacle_min_height': Parameter(
        'The lowest point above the floor that points/marking has [m].', low=-10.0, high=10.0
    ),
    'obstacle_max_height': Parameter(
        'The highest point above the floor that points/marking has [m].', low=-10.0, high=100.0
    ),
    'obstacle_depth_error': Parameter(
        'Share by which depth may be too small without lifting floor into points/marking or scan; '
        'it raises the lowest obstacle by this share of its depth below the camera.',
        high=0.9,
    ),
    'scan_min_height': Parameter(
        'The lowest point above the floor that scan sees [m].', low=-10.0, high=10.0
    ),
    'scan_max_height': Parameter(
        'The highest point above the floor that scan sees [m].', low=-10.0, high=100.0
    ),
    'scan_range_max': Parameter(
        'Up to which scan says that nothing is there [m].', low=0.1, high=1000.0
    ),
    'scan_frame': Parameter(
        "scan's frame, on the floor, x ahead and z up; empty is base_frame where that is given, "
        "else the image's frame with _floor in place of _optical_frame.",
        live=False,
    ),
    'max_rate': Parameter('Frames per second at most; 0 is no limit.', low=0.0, high=1000.0),
    'stale_after': Parameter(
        'An image older than this when its turn comes is dropped [s]; 0 never.',
        low=0.0,
        high=3600.0,
    ),
    'colormap': Parameter('Colours of depth/image_color.', tuple(COLORMAPS)),
}

assert [f.name for f in fields(Settings)] == [*PARAMETERS, 'own']

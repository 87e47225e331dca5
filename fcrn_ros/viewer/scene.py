"""
What the page shows of a frame, written into a Rerun recording.

Everything is logged at its image's stamp, so what belongs together is shown together. Points stay
in the optical frame (x right, y down, z ahead), metres.
"""

from __future__ import annotations

import cv2
import numpy as np
import rerun as rr
from numpy.typing import NDArray

from fcrn_ros.camera import Camera
from fcrn_ros.mounting import Mounting
from fcrn_ros.viewer.top_view import (
    CELL,
    COLUMNS,
    FREE,
    OBSTACLE,
    ROWS,
    SEEN,
    UNKNOWN,
    top_view,
)

NEAR, FAR = 0.3, 8.0  # [m], the colours' range
SHOWN_WIDTH = 320  # pictures are halved until they are no wider [px]
EPOCH = 1e9  # stamps from here on are dates, those before are seconds of a clip or a simulation
CLASSES = (
    (UNKNOWN, 'unknown', (52, 56, 64)),
    (FREE, 'floor: free', (214, 219, 226)),
    (OBSTACLE, 'obstacle', (220, 50, 47)),
    (SEEN, 'something, of unknown height', (96, 160, 220)),
)
LEGEND = """
**{what}**

**Camera, depth, confidence.** One colour image goes in; depth in metres and how sure of it the
network is come out.

**Points.** The depth as points, those on its edges left out, and the camera that took it.

**From above.** {above}
"""
WITH_FLOOR = (
    'White is floor that was seen, red stands 0.15 to 2 m above it, dark is unknown: not free. '
    'The camera is at the bottom.'
)
WITHOUT_FLOOR = (
    'Blue is something, floor or obstacle: how high the camera is held is not known (--height, or '
    "the node's camera_height). Dark is unknown. The camera is at the bottom."
)
DISTANCES = np.arange(2, ROWS * CELL + 1, 2)  # drawn in the view from above [m]
LINES, VIEW = (110, 118, 130), (250, 200, 60)  # colours of the grid and of the field of view


class Scene:
    """
    Writes frames into a recording.

    :param recording: where to.
    :param what: for people: what is shown.
    :param mounting: the camera's place above the floor; None: not known.
    """

    def __init__(
        self, recording: rr.RecordingStream, what: str, mounting: Mounting | None = None
    ) -> None:
        self._recording, self._what = recording, what
        recording.log('camera', rr.ViewCoordinates.RDF, static=True)
        recording.log('above', rr.AnnotationContext(list(CLASSES)), static=True)
        recording.log('above/grid', _arcs(), static=True)
        recording.log('above/distances', _distances(), static=True)
        self._camera: Camera | None = None
        self._dated: bool | None = None
        self.hold(mounting)

    def hold(self, mounting: Mounting | None) -> None:
        """Take the camera's place above the floor; None: not known."""
        self.mounting = mounting
        about = LEGEND.format(what=self._what, above=WITH_FLOOR if mounting else WITHOUT_FLOOR)
        self._recording.log(
            'about', rr.TextDocument(about, media_type='text/markdown'), static=True
        )

    def at(self, stamp: float) -> None:
        """Let what follows belong to a stamp [s]."""
        if self._dated is None:  # of one recording, all stamps are of one kind
            self._dated = stamp >= EPOCH
        if self._dated:
            self._recording.set_time('stamp', timestamp=stamp)
        else:
            self._recording.set_time('stamp', duration=stamp)

    def show_camera(self, camera: Camera) -> None:
        """Show where the camera looks; logged only when it changes."""
        if camera == self._camera:
            return
        self._camera = camera
        camera = camera.resized(*shown_size(camera.width, camera.height))
        pinhole = rr.Pinhole(
            image_from_camera=camera.matrix,
            resolution=(camera.width, camera.height),
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=0.5,
            color=VIEW,
        )
        self._recording.log('camera/lens', pinhole, static=True)
        self._recording.log('above/view', _field_of_view(camera), static=True)

    def show_color(self, color: NDArray[np.uint8]) -> None:
        """Show (h, w, 3) uint8 RGB."""
        size = shown_size(color.shape[1], color.shape[0])
        small = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
        self._recording.log('camera/lens/color', rr.Image(small))

    def show_depth(self, depth: NDArray[np.float32]) -> None:
        """Show (h, w) float32 [m]; NaN and Inf are black."""
        known = np.where(np.isfinite(depth), depth, np.float32(0))
        image = rr.DepthImage(known, meter=1.0, colormap='spectral', depth_range=(NEAR, FAR))
        self._recording.log('depth', image)

    def show_confidence(self, confidence: NDArray[np.float32]) -> None:
        """Show (h, w) float32, 0..1."""
        self._recording.log('confidence', rr.Image((255 * confidence).astype(np.uint8)))

    def show_points(
        self, points: NDArray[np.float32], colors: NDArray[np.uint8] | None = None
    ) -> None:
        """
        Show the points that are known.

        :param points: (..., 3) float32 [m], optical frame; NaN where there is none.
        :param colors: (..., 3) uint8 RGB.
        """
        known = np.isfinite(points).all(-1)
        shown = rr.Points3D(
            points[known],
            colors=None if colors is None else colors[known],
            radii=rr.Radius.ui_points(1.8),
        )
        self._recording.log('camera/points', shown)

    def show_above(
        self, points: NDArray[np.float32], marking: NDArray[np.float32] | None = None
    ) -> None:
        """Show the cells ahead; see :func:`fcrn_ros.viewer.top_view.top_view`."""
        picture = top_view(points, self.mounting, marking)
        self._recording.log('above/cells', rr.SegmentationImage(picture, draw_order=-1.0))

    def show_scan(self, ranges: NDArray[np.float32], angles: NDArray[np.float32]) -> None:
        """Show (n,) ranges [m] at (n,) angles to the left [rad] from above, where finite."""
        known = np.isfinite(ranges)
        ahead, left = ranges[known] * np.cos(angles[known]), ranges[known] * np.sin(angles[known])
        dots = rr.Points2D(_pixels(ahead, left), colors=VIEW, radii=rr.Radius.ui_points(1.5))
        self._recording.log('above/scan', dots)

    def show_value(self, name: str, value: float) -> None:
        """Plot a value; ``latency`` [ms] and ``scale`` have a place on the page."""
        self._recording.log(name, rr.Scalars(value))


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Return the size that a picture is shown at [px]."""
    while width > SHOWN_WIDTH:
        width, height = width // 2, height // 2
    return width, height


def unpacked(bits: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return (..., 3) uint8 RGB of colours packed as 0x00RRGGBB."""
    return np.stack([(bits >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)], -1)


def _pixels(ahead: NDArray[np.floating], left: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return where places [m] lie in the view from above, (n, 2), column and row."""
    return np.stack((COLUMNS / 2 - left / CELL, ROWS - ahead / CELL), -1)


def _arcs() -> rr.LineStrips2D:
    """Return arcs at the ``DISTANCES`` ahead."""
    turn = np.radians(np.linspace(-35, 35, 41))
    strips = [_pixels(d * np.cos(turn), d * np.sin(turn)) for d in DISTANCES]
    return rr.LineStrips2D(strips, colors=LINES)


def _distances() -> rr.Points2D:
    """Return the names of the arcs, beside their right ends."""
    turn = np.radians(37)
    places = _pixels(np.cos(turn) * DISTANCES, -np.sin(turn) * DISTANCES)
    places[:, 0] = np.minimum(places[:, 0], COLUMNS - 6)
    names = [f'{d:.0f} m' for d in DISTANCES]
    return rr.Points2D(places, labels=names, colors=LINES, show_labels=True)


def _field_of_view(camera: Camera) -> rr.LineStrips2D:
    """Return the edges of what the camera sees, from above."""
    far = ROWS * CELL
    edges = [(camera.cx + 0.5) / camera.fx, (camera.cx + 0.5 - camera.width) / camera.fx]
    strips = [_pixels(np.array([0, far]), np.array([0, far * edge])) for edge in edges]
    return rr.LineStrips2D(strips, colors=VIEW)

"""
What happens to one image: decode, pipeline, outputs. Runs in the worker's thread.

A frame may fail in any way: it is dropped with its reason, and the next one is tried.
"""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from fcrn_ros.engine import DepthEngine, EngineError
from fcrn_ros.engine.supply import EngineSupply
from fcrn_ros.health import Health
from fcrn_ros.image import open_cv_bridge, rgb_from_compressed, rgb_from_msg
from fcrn_ros.inputs import CameraCache
from fcrn_ros.messages import header_of
from fcrn_ros.outputs import Outputs
from fcrn_ros.parameters import Settings
from fcrn_ros.pipeline import DepthFrame, DepthPipeline

LOG_SECONDS = 5.0  # a repeated message comes this often at most


class FrameLoop:
    """
    Turns images into outputs, by whichever engine serves.

    :param node: for its clock and logger.
    :param outputs: what is published.
    :param health: where frames are counted.
    :param settings: replaced as a whole when a parameter changes.
    """

    def __init__(self, node: Node, outputs: Outputs, health: Health, settings: Settings) -> None:
        self._node, self._outputs, self._health = node, outputs, health
        self._bridge, reason = open_cv_bridge()
        node.get_logger().debug(reason or 'images are decoded by cv_bridge')
        self.settings = settings
        self.cameras = CameraCache(False)
        self.waits_on = ''  # the camera_info topic
        self.last_frame: DepthFrame | None = None
        self._last_stamp = 0.0
        self._supply: EngineSupply | None = None
        self._pipeline: DepthPipeline | None = None

    # -- the engine ----------------------------------------------------------------------------

    def open(self) -> None:
        """Open the model and the engine; errors are those of ``open_engine``."""
        s = self.settings
        supply = EngineSupply(
            s.backend, s.request(), s.build, self._switch, self._node.get_logger().warning
        )
        self._pipeline = DepthPipeline(supply.open(), s.options())
        self._supply = supply
        self._switch(self._pipeline.engine)

    def close(self) -> None:
        """Release the engine, and stop building another."""
        if self._supply is not None:
            self._supply.close()
        self._supply = self._pipeline = self.last_frame = None

    def _switch(self, engine: DepthEngine) -> None:
        if self._pipeline is not None:  # else it was closed meanwhile
            self._pipeline.engine = engine
            self._node.get_logger().info(
                f'model {engine.spec.name}, backend {engine.name} ({self.settings.backend}), '
                f'{engine.precision} on {engine.device}'
            )

    @property
    def engine(self) -> DepthEngine | None:
        """The engine that serves; None while there is none."""
        return self._pipeline.engine if self._pipeline is not None else None

    @property
    def building(self) -> str:
        """What is being built to replace the engine; '' for nothing."""
        return self._supply.building if self._supply is not None else ''

    # -- one frame -----------------------------------------------------------------------------

    def work(self, image: Any) -> None:
        """Take an Image or CompressedImage to the outputs."""
        try:
            self._process(image)
        except (ValueError, TypeError, OverflowError) as err:
            self._drop('bad image', str(err))
        except EngineError as err:
            self._drop('engine', str(err))
            if self._supply is not None:
                self._supply.failed(err)
        except Exception as err:  # a frame may fail in any way; the next one is tried
            self._drop('internal', f'{type(err).__name__}: {err}')

    def _drop(self, cause: str, error: str) -> None:
        self._health.dropped(cause, error)
        self._node.get_logger().error(
            f'frame dropped ({cause}): {error}', throttle_duration_sec=LOG_SECONDS
        )

    def _process(self, image: Any) -> None:
        pipeline, supply, settings = self._pipeline, self._supply, self.settings
        if pipeline is None or supply is None or not self._outputs.wanted():
            return
        stamp = Time.from_msg(image.header.stamp).nanoseconds / 1e9
        if settings.stale_after and self._now() - stamp > settings.stale_after:
            self._health.dropped('stale')
            return
        self._note_time(stamp)
        if settings.image_transport == 'compressed':
            rgb = rgb_from_compressed(image)
        else:
            rgb = rgb_from_msg(image, self._bridge)
        pipeline.options = settings.options()
        frame = pipeline(rgb, self._camera())
        supply.succeeded()
        header = header_of(image.header.stamp, image.header.frame_id)
        self._outputs.publish(header, frame, settings)
        self.last_frame = frame
        self._health.published(self._now() - stamp, frame.valid_share)
        if frame.camera is not None and frame.scale.doubt:
            self._node.get_logger().warning(f'scale: {frame.scale.doubt}', once=True)

    def _camera(self) -> Any:
        camera = self.cameras.camera
        if camera is None:
            self._node.get_logger().warning(
                f'waiting for camera_info on {self.waits_on} '
                f'({self.cameras.error or "none has come"}): depth has the scale of the training '
                'camera, and no points are published',
                throttle_duration_sec=LOG_SECONDS,
            )
        return camera

    def _note_time(self, stamp: float) -> None:
        if stamp < self._last_stamp:
            self._node.get_logger().warning(
                f'time jumped back by {self._last_stamp - stamp:.3f} s; going on',
                throttle_duration_sec=LOG_SECONDS,
            )
        self._last_stamp = stamp

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds / 1e9

"""
The ROS 2 node: lifecycle, callbacks, diagnostics. No arithmetic.

An image's way: callback (main thread) -> NewestFirst -> ``_work`` (worker thread): decode,
pipeline, outputs. Callbacks never block on the network.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

from fcrn_ros import health, parameters
from fcrn_ros.camera import is_rectified
from fcrn_ros.diagnostics import status_of
from fcrn_ros.engine import EngineError
from fcrn_ros.image import open_cv_bridge, rgb_from_compressed, rgb_from_msg
from fcrn_ros.inputs import CameraCache, Input, image_input
from fcrn_ros.messages import header_of
from fcrn_ros.model.weights import ModelError
from fcrn_ros.outputs import Outputs
from fcrn_ros.pipeline import DepthFrame, DepthPipeline
from fcrn_ros.signals import end_on_signals
from fcrn_ros.worker import NewestFirst

FOLLOW_SECONDS = 0.5  # how often publishers are looked at
LOG_SECONDS = 5.0  # a repeated message comes this often at most
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class DepthNode(LifecycleNode):
    """
    Depth from one colour camera; see the README for topics and parameters.

    :raises ValueError: a parameter is refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('fcrn_depth', **kwargs)
        self._health = health.Health()
        self._pipeline: DepthPipeline | None = None
        self._worker: NewestFirst[Any] | None = None
        self._inputs: list[Input] = []
        self._cameras = CameraCache(False)
        self._last_stamp = self._last_accepted = 0.0
        self._last_frame: DepthFrame | None = None
        self._bridge, reason = open_cv_bridge()
        self.get_logger().debug(reason or 'images are decoded by cv_bridge')
        self.settings = parameters.declare(self)
        self._outputs = Outputs(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(1.0, self._publish_diagnostics)
        self.create_timer(FOLLOW_SECONDS, self._follow_publishers)
        self.add_on_set_parameters_callback(self._on_parameters)

    # -- lifecycle -----------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the model and the engine, and warm it up."""
        s = self.settings
        try:
            self._pipeline = DepthPipeline.open(
                s.model, s.backend, s.device, s.precision, s.options(), s.threads
            )
        except (EngineError, ModelError, ValueError, OSError) as err:
            self.get_logger().fatal(f'cannot start: {err}')
            return FAILURE
        engine = self._pipeline.engine
        self.get_logger().info(
            f'model {engine.spec.name}, backend {engine.name} ({s.backend}), '
            f'{engine.precision} on {engine.device}'
        )
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        assert self._pipeline is not None
        self._worker = NewestFirst(self._work, lambda _: self._health.dropped('newer image'))
        image = image_input(self, self.settings.image_transport, self._on_image)
        self._cameras = CameraCache(self.settings.rectify == 'never' or is_rectified(image.topic))
        info = Input(
            self, CameraInfo, self.resolve_topic_name('camera_info'), self._on_camera_info
        )
        self._inputs = [image, info]
        self.get_logger().info(f'reading {image.topic} and {info.topic}')
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the engine."""
        self._stop()
        self._pipeline = self._last_frame = None
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        return self.on_cleanup(state)

    def destroy_node(self) -> None:
        """Stop the worker, then destroy the node."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        for subscription in self._inputs:
            subscription.close()
        self._inputs = []
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    # -- callbacks -----------------------------------------------------------------------------

    def _on_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        known = {p.name: p.value for p in changed if p.name in parameters.PARAMETERS}
        try:
            settings = parameters.current(self, known)
        except ValueError as err:
            return SetParametersResult(successful=False, reason=str(err))
        self.settings = settings
        if self._pipeline is not None:
            self._pipeline.options = settings.options()
        return SetParametersResult(successful=True)

    def _on_camera_info(self, info: CameraInfo) -> None:
        if not self._cameras.update(info):
            return
        if self._cameras.error:
            self.get_logger().error(f'camera_info is not usable: {self._cameras.error}')
            return
        camera = self._cameras.camera
        assert camera is not None
        self.get_logger().info(
            f'camera {camera.width}x{camera.height}, fx {camera.fx:.1f}, fy {camera.fy:.1f}'
            + (f', rectified ({camera.distortion_model})' if camera.distorted else '')
        )

    def _on_image(self, image: Any) -> None:
        self._health.arrived()
        now, limit = self._now(), self.settings.max_rate
        # half a camera period of slack, so that a limit at the camera's own rate drops nothing
        if limit and 0 <= now - self._last_accepted < 0.75 / limit:
            self._health.dropped('max_rate')
        elif self._worker is not None:
            self._last_accepted = now
            self._worker.put(image)

    def _follow_publishers(self) -> None:
        for subscription in self._inputs:
            subscription.follow()

    # -- the worker's thread -------------------------------------------------------------------

    def _work(self, image: Any) -> None:
        try:
            self._process(image)
        except (ValueError, TypeError, OverflowError) as err:
            self._drop('bad image', str(err))
        except EngineError as err:
            self._drop('engine', str(err))
        except Exception as err:  # a frame may fail in any way; the next one is tried
            self._drop('internal', f'{type(err).__name__}: {err}')

    def _drop(self, cause: str, error: str) -> None:
        self._health.dropped(cause, error)
        self.get_logger().error(
            f'frame dropped ({cause}): {error}', throttle_duration_sec=LOG_SECONDS
        )

    def _process(self, image: Any) -> None:
        pipeline, settings = self._pipeline, self.settings
        if pipeline is None or not self._outputs.wanted():
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
        frame = pipeline(rgb, self._camera())
        header = header_of(image.header.stamp, image.header.frame_id)
        self._outputs.publish(header, frame, settings)
        self._last_frame = frame
        self._health.published(self._now() - stamp, frame.valid_share)
        if frame.camera is not None and frame.scale.doubt:
            self.get_logger().warning(f'scale: {frame.scale.doubt}', once=True)

    def _camera(self) -> Any:
        camera = self._cameras.camera
        if camera is None and self._inputs:
            self.get_logger().warning(
                f'waiting for camera_info on {self._inputs[1].topic} '
                f'({self._cameras.error or "none has come"}): depth has the scale of the training '
                'camera, and no points are published',
                throttle_duration_sec=LOG_SECONDS,
            )
        return camera

    def _note_time(self, stamp: float) -> None:
        if stamp < self._last_stamp:
            self.get_logger().warning(
                f'time jumped back by {self._last_stamp - stamp:.3f} s; going on',
                throttle_duration_sec=LOG_SECONDS,
            )
        self._last_stamp = stamp

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds / 1e9

    # -- diagnostics ---------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        status = status_of(
            f'{self.get_fully_qualified_name()[1:]}: depth',
            self._health,
            self._pipeline.engine if self._pipeline is not None else None,
            self._last_frame.scale if self._last_frame is not None else None,
            self._inputs,
            self._cameras.error,
        )
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(DiagnosticArray(header=header_of(stamp, ''), status=[status]))


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit status."""
    logging.basicConfig(level=logging.WARNING, format='%(name)s: %(message)s')
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')  # a thread that waits frees its core
    node = None
    try:
        end_on_signals()
        try:
            rclpy.init(args=args)
            node = DepthNode()
        except Exception as err:  # a refused parameter, or any of rclpy's own
            what = '' if isinstance(err, ValueError) else f'{type(err).__name__}: '
            print(f'depth_node: {what}{" ".join(str(err).split())}', file=sys.stderr)
            return 1
        if node.settings.autostart and not _start(node):
            return int(rclpy.ok())  # not a failure if it was told to stop
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _start(node: DepthNode) -> bool:
    steps = (node.trigger_configure, node.trigger_activate)
    return all(step() == SUCCESS for step in steps)


if __name__ == '__main__':
    sys.exit(main())

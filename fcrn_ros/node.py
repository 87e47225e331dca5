"""
The ROS 2 node: lifecycle, callbacks, diagnostics. No arithmetic.

An image's way: callback (main thread) -> NewestFirst -> ``FrameLoop.work`` (worker thread).
Callbacks never block on the network.
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
from sensor_msgs.msg import CameraInfo

from fcrn_ros import health, parameters
from fcrn_ros.camera import is_rectified
from fcrn_ros.diagnostics import status_of
from fcrn_ros.engine import EngineError
from fcrn_ros.frames import FrameLoop
from fcrn_ros.inputs import CameraCache, Input, image_input
from fcrn_ros.messages import header_of
from fcrn_ros.model.weights import ModelError
from fcrn_ros.outputs import Outputs
from fcrn_ros.signals import end_on_signals
from fcrn_ros.worker import NewestFirst

FOLLOW_SECONDS = 0.5  # how often publishers are looked at
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class DepthNode(LifecycleNode):
    """
    Depth from one colour camera; see the README for topics and parameters.

    :raises ValueError: a parameter is refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('fcrn_depth', **kwargs)
        self._health = health.Health()
        self._worker: NewestFirst[Any] | None = None
        self._inputs: list[Input] = []
        self._last_accepted = 0.0
        settings = parameters.declare(self)
        self._frames = FrameLoop(self, Outputs(self), self._health, settings)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(1.0, self._publish_diagnostics)
        self.create_timer(FOLLOW_SECONDS, self._follow_publishers)
        self.add_on_set_parameters_callback(self._on_parameters)

    @property
    def settings(self) -> parameters.Settings:
        """The parameters' present values."""
        return self._frames.settings

    # -- lifecycle -----------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the model and the engine, and warm it up."""
        try:
            self._frames.open()
        except (EngineError, ModelError, ValueError, OSError) as err:
            self.get_logger().fatal(f'cannot start: {err}')
            return FAILURE
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        self._worker = NewestFirst(
            self._frames.work, lambda _: self._health.dropped('newer image')
        )
        image = image_input(self, self.settings.image_transport, self._on_image)
        rectified = self.settings.rectify == 'never' or is_rectified(image.topic)
        self._frames.cameras = CameraCache(rectified)
        info = Input(
            self, CameraInfo, self.resolve_topic_name('camera_info'), self._on_camera_info
        )
        self._frames.waits_on = info.topic
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
        self._frames.close()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        return self.on_cleanup(state)

    def destroy_node(self) -> None:
        """Stop the worker, then destroy the node."""
        self._stop()
        if hasattr(self, '_frames'):  # absent when a parameter was refused
            self._frames.close()
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
        self._frames.settings = settings
        return SetParametersResult(successful=True)

    def _on_camera_info(self, info: CameraInfo) -> None:
        if not self._frames.cameras.update(info):
            return
        if self._frames.cameras.error:
            self.get_logger().error(f'camera_info is not usable: {self._frames.cameras.error}')
            return
        camera = self._frames.cameras.camera
        assert camera is not None
        self.get_logger().info(
            f'camera {camera.width}x{camera.height}, fx {camera.fx:.1f}, fy {camera.fy:.1f}'
            + (f', rectified ({camera.distortion_model})' if camera.distorted else '')
        )

    def _on_image(self, image: Any) -> None:
        self._health.arrived()
        now, limit = self.get_clock().now().nanoseconds / 1e9, self.settings.max_rate
        # half a camera period of slack, so that a limit at the camera's own rate drops nothing
        if limit and 0 <= now - self._last_accepted < 0.75 / limit:
            self._health.dropped('max_rate')
        elif self._worker is not None:
            self._last_accepted = now
            self._worker.put(image)

    def _follow_publishers(self) -> None:
        for subscription in self._inputs:
            subscription.follow()

    # -- diagnostics ---------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        status = status_of(
            f'{self.get_fully_qualified_name()[1:]}: depth',
            self._health,
            self._frames.engine,
            self._frames.building,
            self._frames.last_frame.scale if self._frames.last_frame is not None else None,
            self._inputs,
            self._frames.cameras.error,
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

"""
The ROS 2 node: lifecycle, callbacks, diagnostics. No arithmetic.

An image's way: ``Stream`` (main thread) -> NewestFirst -> ``FrameLoop.work`` (worker thread).
Callbacks never block on the network.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from fcrn_ros import parameters
from fcrn_ros.engine import EngineError
from fcrn_ros.messages import header_of
from fcrn_ros.model.weights import ModelError
from fcrn_ros.settings import Settings
from fcrn_ros.shell.diagnostics import status_of
from fcrn_ros.shell.frames import FrameLoop
from fcrn_ros.shell.signals import end_on_signals, was_interrupted
from fcrn_ros.shell.stream import Stream
from fcrn_ros.shell.worker import NewestFirst

FOLLOW_SECONDS = 0.5  # how often publishers are looked at
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class DepthNode(LifecycleNode):
    """
    Depth from one colour camera or several; see the README for topics and parameters.

    :raises ValueError: a parameter is refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('fcrn_depth', **kwargs)
        self._worker: NewestFirst[Any] | None = None
        self._frames = FrameLoop(self, parameters.declare(self))
        self._streams = {
            name: Stream(self, name, lambda: self._frames.settings)
            for name in self.settings.cameras
        }
        self._frames.streams = self._streams
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(1.0, self._publish_diagnostics)
        self.create_timer(FOLLOW_SECONDS, self._follow_publishers)
        self.add_on_set_parameters_callback(self._on_parameters)

    @property
    def settings(self) -> Settings:
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
            self._frames.work,
            lambda name, _: self._streams[name].health.dropped('newer image'),
            list(self._streams),
        )
        for stream in self._streams.values():
            stream.open(self._worker.put)
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
        if hasattr(self, '_streams'):  # absent when a parameter was refused
            self._stop()
            self._frames.close()
        super().destroy_node()

    def _stop(self) -> None:
        for stream in self._streams.values():
            stream.close()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    # -- callbacks -----------------------------------------------------------------------------

    def _on_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        try:
            settings = parameters.current(self, {p.name: p.value for p in changed})
        except ValueError as err:
            return SetParametersResult(successful=False, reason=str(err))
        self._frames.settings = settings
        return SetParametersResult(successful=True)

    def _follow_publishers(self) -> None:
        for stream in self._streams.values():
            stream.follow()

    # -- diagnostics ---------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        stamp = self.get_clock().now().to_msg()
        statuses = [self._status(stream) for stream in self._streams.values()]
        self._diagnostics.publish(DiagnosticArray(header=header_of(stamp, ''), status=statuses))

    def _status(self, stream: Stream) -> DiagnosticStatus:
        camera = f'{stream.name} ' if stream.name else ''
        return status_of(
            f'{self.get_fully_qualified_name()[1:]}: {camera}depth',
            stream,
            self._frames.engine,
            self._frames.building,
        )


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
    except RuntimeError:
        if not was_interrupted():
            raise
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

"""
The real node in a process of its own, a camera for it, and its outputs, over real DDS.

Nothing of ROS is faked. A test module has a :class:`Graph` with a ROS domain of its own; every
node in it has a namespace of its own; what was started carries a mark in its environment, by which
:func:`marked_processes` finds it. Every wait ends with its event, or fails after ``LIMIT``.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason="needs rclpy: pip install 'fcrn_ros[ros]'")

import rclpy  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60.0  # [s], of every wait
STOP_LIMIT = 20.0  # [s], for a process to end by itself
FRAME_ID = 'kitchen_camera_optical_frame'
RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
CAMERA_TOPICS = {
    'depth/image_raw': Image,
    'depth/camera_info': CameraInfo,
    'color/image_raw': Image,
    'color/camera_info': CameraInfo,
    'points': PointCloud2,
    'depth/image_color': Image,
    'confidence/image_raw': Image,
}
WITHOUT_CAMERA = ('depth/image_raw', 'color/image_raw', 'depth/image_color')
OUTPUT_SIZE = (32, 48)  # of the tiny model: rows, columns


# -- processes ---------------------------------------------------------------------------------


def marked_processes(mark):
    """Return {pid: command line} of all living processes with a mark in their environment."""
    found = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            if mark.encode() in (folder / 'environ').read_bytes().split(b'\0'):
                command = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
                if command:  # empty: a zombie
                    found[int(folder.name)] = command
        except OSError:  # it has just ended, or is not ours
            continue
    return found


def wait_for_none(mark):
    """Fail, and kill them, when processes with a mark do not end by themselves."""
    end = time.monotonic() + STOP_LIMIT
    while (left := marked_processes(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


class Process:
    """
    A child whose output goes to a file.

    :param command: and its arguments.
    :param environment: beside this process's.
    :param log: the file.
    :param session: give it a session of its own.
    """

    def __init__(self, command, environment, log, session=False):
        self.log_file, self.command = log, command
        with log.open('w') as output:
            self.child = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=session,
            )

    @property
    def log(self):
        """What it has said so far."""
        return self.log_file.read_text(errors='replace')

    @property
    def lines(self):
        """The lines of its log that are not blank."""
        return [line for line in self.log.splitlines() if line.strip()]

    def wait_for_log(self, text, after=0):
        """Wait for a text behind character ``after`` of the log; return the line with it."""
        end = time.monotonic() + LIMIT
        while text not in self.log[after:]:
            assert self.child.poll() is None, f'ended without {text!r}:\n{self.log}'
            assert time.monotonic() < end, f'no {text!r} in {LIMIT:.0f} s:\n{self.log}'
            time.sleep(0.02)
        return next(line for line in self.log[after:].splitlines() if text in line)

    def wait(self):
        """Wait for its end; return the exit status."""
        try:
            return self.child.wait(LIMIT)
        except subprocess.TimeoutExpired:
            pytest.fail(f'{self.command} did not end in {LIMIT:.0f} s:\n{self.log}')

    def signal(self, number):
        """Send a signal; return the exit status."""
        self.child.send_signal(number)
        return self.wait()

    def close(self):
        """End it in any case."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.child.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


# -- the graph ---------------------------------------------------------------------------------


class Graph:
    """
    A ROS domain of this test run: a node of the test's, and the nodes under test.

    :param folder: for logs.
    :param number: of the test module, for a domain of its own.
    """

    def __init__(self, folder, number):
        self.folder = folder
        self.domain = 1 + (os.getpid() + 29 * number) % 100  # from 102 on, ports are shared
        self.mark = f'FCRN_TEST={os.getpid()}_{number}_{time.monotonic_ns()}'
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node(f'tester_{os.getpid()}', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._numbers = itertools.count()
        self._nodes = []

    @property
    def environment(self):
        """The environment of the children."""
        return {
            'ROS_DOMAIN_ID': str(self.domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_LOG_DIR': str(self.folder / 'ros_log'),
            'RCUTILS_COLORIZED_OUTPUT': '0',
            **dict([self.mark.split('=')]),
        }

    def wait_for(self, condition, what, process=None):
        """Spin until a condition is true; fail at once if a process ends before."""
        end = time.monotonic() + LIMIT
        while not (result := condition()):
            if process is not None and process.child.poll() is not None:
                pytest.fail(f'ended before {what}:\n{process.log}')
            logs = '\n'.join(n.log[-3000:] for n in self._nodes if n.child.poll() is None)
            assert time.monotonic() < end, f'no {what} in {LIMIT:.0f} s; the nodes said:\n{logs}'
            self.executor.spin_once(timeout_sec=0.05)
        return result

    def start(self, parameters=None, remappings=None, program=('-m', 'fcrn_ros.node'), name=''):
        """Start a node under test; it stops with the graph at the latest."""
        namespace = name or f'/t{os.getpid()}_{next(self._numbers)}'
        node = NodeUnderTest(self, namespace, parameters or {}, remappings or {}, program)
        self._nodes.append(node)
        return node

    def run(self, *arguments):
        """Start a node with these arguments alone, which shall end by itself."""
        log = self.folder / f'run_{next(self._numbers)}.log'
        command = [sys.executable, '-m', 'fcrn_ros.node', '--ros-args', *arguments]
        process = Process(command, self.environment, log)
        self._nodes.append(process)
        return process

    def stop_nodes(self):
        """End every node and process."""
        for node in self._nodes:
            node.close()
        self._nodes.clear()

    def close(self):
        """End everything."""
        self.stop_nodes()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def call(self, kind, service, request):
        """Call a service; return its response."""
        client = self.node.create_client(kind, service)
        try:
            self.wait_for(client.service_is_ready, service)
            future = client.call_async(request)
            self.wait_for(future.done, f'answer of {service}')
            return future.result()
        finally:
            self.node.destroy_client(client)


@contextmanager
def open_graph(folder, number):
    """Open a graph whose traffic stays on this machine, with room for whole images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        old = int(version('rclpy').split('.')[0]) < 9  # before kilted
        name = 'FASTRTPS' if old else 'FASTDDS'
        profile = ROOT / 'config' / 'fastdds_large_messages.xml'
        patch.setenv(f'{name}_DEFAULT_PROFILES_FILE', str(profile))
        graph = Graph(folder, number)
        try:
            yield graph
        finally:
            graph.close()


class NodeUnderTest(Process):
    """
    The depth node, and a camera before it.

    :param graph: it belongs to.
    :param namespace: its own; the camera's topics lie in it too.
    :param parameters: of the node.
    :param remappings: topic -> topic.
    :param program: arguments of Python that start the node.
    """

    def __init__(self, graph, namespace, parameters, remappings, program):
        self.graph, self.namespace = graph, namespace
        rules = {'__ns': namespace, **remappings}
        arguments = [x for rule in rules.items() for x in ('-r', ':='.join(rule))]
        arguments += [x for k, v in parameters.items() for x in ('-p', f'{k}:={v}')]
        command = [sys.executable, *program, '--ros-args', *arguments]
        log = graph.folder / f'{namespace[1:]}.log'
        super().__init__(command, graph.environment, log)
        self.image_topic = remappings.get('image', f'{namespace}/image')
        self.info_topic = remappings.get('camera_info', f'{namespace}/camera_info')
        self.diagnostics = []
        self._subscription = graph.node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, 10
        )
        self._image, self._info = None, self._publisher(CameraInfo, self.info_topic, RELIABLE)

    # -- what it is told -----------------------------------------------------------------------

    def call(self, kind, name, request):
        """Call one of its services."""
        return self.graph.call(kind, f'{self.namespace}/fcrn_depth/{name}', request)

    def set(self, **values):
        """Set parameters one by one; return the results."""
        parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        request = SetParameters.Request(parameters=parameters)
        return self.call(SetParameters, 'set_parameters', request).results

    @contextmanager
    def settings(self, was, **values):
        """Set parameters for a while; ``was`` holds their values before."""
        assert all(r.successful for r in self.set(**values))
        try:
            yield
        finally:
            assert all(r.successful for r in self.set(**was))

    def state(self):
        """Return its lifecycle state's name."""
        return self.call(GetState, 'get_state', GetState.Request()).current_state.label

    def change(self, *transitions):
        """Make lifecycle transitions; return whether all succeeded."""
        for transition in transitions:
            request = ChangeState.Request()
            request.transition.label = transition
            if not self.call(ChangeState, 'change_state', request).success:
                return False
        return True

    # -- what it says --------------------------------------------------------------------------

    def _on_diagnostics(self, message):
        name = f'{self.namespace[1:]}/fcrn_depth: depth'
        self.diagnostics += [s for s in message.status if s.name == name]

    def next_diagnostics(self, condition=lambda values: True):
        """
        Wait for a status that comes from now on and satisfies a condition on its values.

        :return: the values, with ``level`` (int) and ``message``.
        """
        self.diagnostics.clear()

        def found():
            for status in self.diagnostics:
                values = {v.key: v.value for v in status.values}
                values |= {'level': status.level[0], 'message': status.message}
                if condition(values):
                    return values
            return None

        return self.graph.wait_for(found, 'such diagnostics', self)

    # -- its camera ----------------------------------------------------------------------------

    def _publisher(self, kind, topic, reliability):
        qos = QoSProfile(depth=1, reliability=reliability)
        return self.graph.node.create_publisher(kind, topic, qos)

    @contextmanager
    def image_publisher(self, kind=Image, topic='', reliability=RELIABLE):
        """Give the camera an image publisher, for as long as the context lasts."""
        publisher = self._publisher(kind, topic or self.image_topic, reliability)
        try:
            self.graph.wait_for(lambda: publisher.get_subscription_count(), 'reader of images')
            yield publisher
        finally:
            self.graph.node.destroy_publisher(publisher)

    @property
    def image(self):
        """The camera's own publisher of images."""
        if self._image is None:
            self._image = self._publisher(Image, self.image_topic, RELIABLE)
        return self._image

    def set_camera(self, info):
        """
        Publish a camera_info until the node says that it has it.

        :param info: of other content than the one before.
        :return: the line that it says.
        """
        before = len(self.log)
        lines = ('camera ', 'camera_info is not usable')

        def said():
            info.header = header_now(self.graph.node)
            self._info.publish(info)
            new = (line.split(': ', 1)[-1] for line in self.log[before:].splitlines())
            return next((line for line in new if line.startswith(lines)), None)

        return self.graph.wait_for(said, 'word of camera_info', self)

    def send(self, image, publisher=None):
        """Publish one image with the present time; return its stamp [ns]."""
        image.header = header_now(self.graph.node)
        (publisher or self.image).publish(image)
        return nanoseconds(image.header.stamp)

    @contextmanager
    def receive(self, topics=tuple(CAMERA_TOPICS), reliability=RELIABLE):
        """Subscribe to outputs for as long as the context lasts; yields a :class:`Received`."""
        received = Received(self, topics, reliability)
        try:
            yield received
        finally:
            received.close()

    def exchange(self, image, topics=tuple(CAMERA_TOPICS), publisher=None, reliability=RELIABLE):
        """
        Play an image until all topics have come for one of its stamps.

        :return: topic -> message, all of one stamp, which is checked to be the input's.
        """
        with self.receive(topics, reliability) as received:
            return received.play(image, publisher)

    def close(self):
        """End it, and take its camera from the graph."""
        super().close()
        for publisher in (self._image, self._info):
            if publisher is not None:
                self.graph.node.destroy_publisher(publisher)
        self.graph.node.destroy_subscription(self._subscription)


class Received:
    """
    The outputs of a node, by topic and stamp.

    :param node: under test.
    :param topics: some of ``CAMERA_TOPICS``.
    :param reliability: of the subscriptions.
    :ivar messages: topic -> stamp [ns] -> message.
    """

    def __init__(self, node, topics, reliability):
        self.node, self.messages = node, {topic: {} for topic in topics}
        qos = QoSProfile(depth=5, reliability=reliability)
        self._subscriptions = [
            node.graph.node.create_subscription(
                CAMERA_TOPICS[topic], f'{node.namespace}/{topic}', self._store(topic), qos
            )
            for topic in topics
        ]

    def _store(self, topic):
        def store(message):
            self.messages[topic][nanoseconds(message.header.stamp)] = message

        return store

    def complete(self):
        """Return the stamps of which every topic has come, in order."""
        return sorted(set.intersection(*(set(m) for m in self.messages.values())))

    def play(self, image, publisher=None):
        """Send an image again and again until one is answered on every topic."""
        sent, due = set(), 0.0

        def answered():
            nonlocal due
            if time.monotonic() > due:
                sent.add(self.node.send(image, publisher))
                due = time.monotonic() + 0.3
            return next((s for s in self.complete() if s in sent), None)

        what = f'answer on {list(self.messages)}'
        stamp = self.node.graph.wait_for(answered, what, self.node)
        return {topic: messages[stamp] for topic, messages in self.messages.items()}

    def close(self):
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self.node.graph.node.destroy_subscription(subscription)


# -- messages ----------------------------------------------------------------------------------


def nanoseconds(stamp):
    """Return a stamp [ns]."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def header_now(node):
    """Return a header with the present time and the camera's frame."""
    return Header(stamp=node.get_clock().now().to_msg(), frame_id=FRAME_ID)


def header_at(stamp):
    """Return a header with a stamp [ns]."""
    seconds, rest = divmod(stamp, 1_000_000_000)
    return Header(stamp=Time(sec=seconds, nanosec=rest), frame_id=FRAME_ID)


def image_msg(rgb, encoding='rgb8', padding=0):
    """Build an image by NumPy and OpenCV alone, with unused bytes at the end of each row."""
    height, width = rgb.shape[:2]
    if encoding == 'nv12':
        planar = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
        chroma = planar[height:].reshape(2, -1)
        rows = np.vstack((planar[:height], chroma.T.reshape(height // 2, width)))
    else:
        rows = {
            'rgb8': lambda: rgb,
            'bgr8': lambda: rgb[..., ::-1],
            'mono8': lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
        }[encoding]().reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    image = Image(width=width, height=height, encoding=encoding, step=rows.shape[1])
    image.data = rows.tobytes()
    return image


def jpeg_msg(rgb):
    """Build a compressed image as image_transport does."""
    _, data = cv2.imencode('.jpg', rgb[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))
    return CompressedImage(format='rgb8; jpeg compressed bgr8', data=data.tobytes())


def info_msg(width=640, height=480, intrinsics=(585.0, 570.0, 312.0, 247.0), distortion=()):
    """Build the camera_info of a raw image; the default is asymmetric in everything."""
    fx, fy, cx, cy = intrinsics
    return CameraInfo(
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=list(distortion) or [0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0 if fx else 0.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def array_of(image):
    """Return an image's pixels, (h, w) or (h, w, 3), after a check of its layout."""
    dtype, channels = {
        '32FC1': (np.float32, 1),
        '16UC1': (np.uint16, 1),
        'rgb8': (np.uint8, 3),
    }[image.encoding]
    assert image.step == image.width * np.dtype(dtype).itemsize * channels
    assert len(image.data) == image.step * image.height
    assert not image.is_bigendian
    pixels = np.frombuffer(image.data, dtype).reshape(image.height, image.width, channels)
    return pixels if channels > 1 else pixels[..., 0]


def points_of(cloud):
    """Return a cloud's (h, w, 4) float32: x, y, z and the bits of the colour."""
    return np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 4)

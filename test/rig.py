"""What the ROS tests share: a domain per test, a node that plays camera and planner, and programs run as children.

Everything is real ROS 2. Import it only where rclpy is there: the conftest of test/ros and test/cli sees to that.
"""
import contextlib
import gc
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Log
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_profile_rosout_default
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trt_perception.ros.engine_supervisor import State
from trt_perception.ros.perception_node import PerceptionNode

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE_S = 60.0
"""Longest wait for something that takes milliseconds on an idle machine."""

DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
"""Of a test, which must not lose what comes while it is busy."""

_DOMAINS = list(range(1, 100))  # Above 101 the ports of a domain overlap those that Linux hands out.
random.shuffle(_DOMAINS)
_NEXT_DOMAIN = itertools.cycle(_DOMAINS)


@contextlib.contextmanager
def free_domain():
    """Lend a ROS domain that nobody on this machine uses: of tests, whoever holds the lock owns the domain."""
    for domain in itertools.islice(_NEXT_DOMAIN, len(_DOMAINS)):
        with contextlib.closing(socket.socket()) as lock:
            if _is_bound(lock, 21700 + domain):
                with contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as first:
                    is_free = _is_bound(first, 7410 + 250 * domain)  # Of the domain's first participant, by RTPS.
                if is_free:
                    yield domain
                    return
    raise RuntimeError('all ROS domains are in use by other tests')


def _is_bound(endpoint, port):
    """Bind an endpoint to a port, and return whether the port was free."""
    try:
        endpoint.bind(('', port))
    except OSError:
        return False
    return True


def header(stamp_ns, frame_id='camera'):
    return Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id)


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def image(pixels, stamp_ns, encoding='rgb8', frame_id='camera', padding=0):
    """Return an Image message of (H, W) or (H, W, C) uint8 pixels; `padding` bytes of 77 follow each row."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    rows = np.hstack([rows, np.full((height, padding), 77, np.uint8)])
    return Image(header=header(stamp_ns, frame_id), height=height, width=width, encoding=encoding,
                 step=rows.shape[1], data=rows.tobytes())


def camera_info(height, width, stamp_ns, frame_id='camera'):
    """Return a CameraInfo whose numbers are all different."""
    return CameraInfo(header=header(stamp_ns, frame_id), height=height, width=width, distortion_model='plumb_bob',
                      d=[0.1, -0.2, 0.003, 0.004, 0.05], k=[50.0, 0.5, 31.0, 0.0, 60.0, 23.0, 0.0, 0.0, 1.0],
                      r=[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
                      p=[51.0, 0.25, 30.0, -4.0, 0.0, 61.0, 22.0, 3.0, 0.0, 0.0, 1.0, 0.5])


def random_image(seed, size=(48, 64), cell=8):
    """Return (H, W, 3) uint8 of random coloured squares, so that every network and resize shows something."""
    rows, columns = -(-size[0] // cell), -(-size[1] // cell)
    squares = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    return np.repeat(np.repeat(squares, cell, axis=0), cell, axis=1)[:size[0], :size[1]]


def pixels_of(message):
    """Return the pixels of one of our output images."""
    dtype, channels = {'mono8': (np.uint8, ()), 'rgb8': (np.uint8, (3,)), 'bgr8': (np.uint8, (3,)),
                       '32FC2': (np.float32, (2,))}[message.encoding]
    return np.frombuffer(message.data, dtype).reshape((message.height, message.width) + channels)


class Rig:
    """A ROS context with the node `outside`, which plays camera and planner, and a node under test.

    Both run in the caller's thread, while it waits in one of these methods; the node's worker has its own.
    """

    def __init__(self, domain):
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.outside = Node('outside', context=self.context, use_global_arguments=False)
        self.executor.add_node(self.outside)
        self.log = self.watch(Log, '/rosout', qos_profile_rosout_default)  # Transient local: also what came before.
        self.node = None
        self.worker = None
        self.feed = None
        self._subscriptions = []

    def close(self):
        if self.node is not None:
            self.node.destroy_node()
        self.outside.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)
        # Its state machine holds the node in a circle. Collected later, it would take /rosout from a node of the same
        # name in the next test; kept, as by the traceback of an error that a test expects, it would stay in the graph
        # until another test gets this domain.
        if hasattr(self.node, '_state_machine'):
            self.node._state_machine.destroy_when_not_in_use()
        self.node = self.worker = self.feed = None
        gc.collect()

    def watch(self, kind, topic, qos=DEEP):
        """Subscribe to a topic and return the list that its messages go to."""
        messages = []
        self._last_subscription = self.outside.create_subscription(kind, topic, messages.append, qos)
        return messages

    def unwatch(self):
        """End the subscription made last."""
        self.outside.destroy_subscription(self._last_subscription)

    def start(self, tasks, *arguments, name='perception', namespace=None, camera='/image', kind=Image,
              opened=True):
        """Start a node with ROS arguments, connect the camera to it, and wait until it runs.

        Frames of any age are welcome unless the arguments say otherwise: stamps in tests are made up. With kind None
        there is no camera.

        Args:
            opened: whether to wait until the engines are open.
        """
        self.node = PerceptionNode(
            name, tasks, context=self.context, namespace=namespace, use_global_arguments=False,
            cli_args=['--ros-args', '-p', 'max_frame_age:=0.0', '-p', 'num_threads:=1'] + list(arguments))
        self.worker = self.node._worker
        self.feed = self.worker.feeds[0] if self.worker is not None else None
        self.executor.add_node(self.node)
        if kind is not None:
            self.camera = self.outside.create_publisher(kind, camera, DEEP)
            self.until(self.camera.get_subscription_count, 'the node to subscribe to ' + camera)
        if opened:
            self.until(lambda: self.worker.engines.state != State.OPENING or self.node.stopped.done(),
                       'the engines to open')
        if self.node.stopped.done():
            self.node.stopped.result()
        return self.node

    def until(self, condition, what, seconds=PATIENCE_S):
        """Let both nodes work until the condition holds; fail after so many seconds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, 'waited {} s for {}'.format(seconds, what)
            self.executor.spin_once(timeout_sec=0.02)

    def work(self, seconds):
        """Let both nodes work for so long: only to show that something does not happen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def found(self, query, topic):
        """Return the one endpoint that a query of the graph gives for a topic, once discovery has brought it."""
        self.until(lambda: query(topic), 'the graph to show {}'.format(topic))
        [info] = query(topic)
        return info

    def named(self, query, topics, node='perception', namespace='/'):
        """Return {topic: types} that a query of the graph gives for a node, once these topics are among them."""
        self.until(lambda: set(topics) <= set(dict(query(node, namespace))),
                   'the graph to show {} of {}'.format(sorted(topics), node))
        return dict(query(node, namespace))

    def watched(self, task_and_topic, count=1):
        """Wait until the node's publisher of `task/topic` knows so many subscribers."""
        task, topic = task_and_topic.split('/', 1)
        publisher = {t.name: t for t in self.feed.tasks}[task].publishers._publishers[topic]
        self.until(lambda: publisher.get_subscription_count() == count, '{} of {}'.format(count, task_and_topic))

    def show(self, message):
        """Publish an image, wait until the node has done with it, and return how it counts it."""
        before = dict(self.feed.counts)
        self.camera.publish(message)
        done = sum(before.values()) - before.get('received', 0) + 1

        def finished():
            counts = dict(self.feed.counts)
            return sum(counts.values()) - counts.get('received', 0) == done
        self.until(finished, 'the node to take the image')
        self._delivered()
        after = dict(self.feed.counts)
        assert after['received'] == before.get('received', 0) + 1
        return [key for key in after if key != 'received' and after[key] != before.get(key, 0)][0]

    def _delivered(self):
        """Wait until the results are here: the node keeps the newest of each topic, and the next would replace them."""
        for task in self.feed.tasks:
            for publisher in task.publishers._publishers.values():
                assert publisher.wait_for_all_acked(Duration(seconds=PATIENCE_S))

    def diagnostics(self, interval_s=1.0):
        """Return the statuses now, and let none be published any more: it would take what happened since the last."""
        self.node._status.timer.cancel()
        return self.node._diagnostics.statuses(interval_s, self.node._idle(), self.worker, self.node._cameras)

    def logged(self, text):
        """Return whether a message that contains the text has come from the node."""
        return any(text in entry.msg for entry in self.log if entry.name.endswith(self.node.get_name()))


class Program:
    """A child process whose output goes to a file; it ends with the `with`, whatever happens."""

    def __init__(self, arguments, output):
        self._path = str(output)
        paths = [ROOT] + [path for path in [os.environ.get('PYTHONPATH')] if path]
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), PYTHONUNBUFFERED='1')
        with open(self._path, 'wb') as file:
            self.process = subprocess.Popen([sys.executable] + [str(a) for a in arguments], cwd=ROOT, stdout=file,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def output(self):
        with open(self._path) as file:
            return file.read()

    def until(self, text, seconds=PATIENCE_S):
        """Wait until it has printed the text."""
        end = time.monotonic() + seconds
        while text not in self.output:
            assert self.process.poll() is None, 'it ended: ' + self.output
            assert time.monotonic() < end, 'waited for {!r}, it printed: {}'.format(text, self.output)
            time.sleep(0.02)

    def end(self, number=signal.SIGINT, seconds=PATIENCE_S):
        """Send a signal (None = none), wait for the end and return the exit status."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(seconds)


def trt_perception(*arguments):
    """Return the arguments of a Program that runs the command line tool."""
    return ['-m', 'trt_perception'] + list(arguments)

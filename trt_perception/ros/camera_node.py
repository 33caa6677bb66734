"""A camera node for machines without a camera driver: publishes images with stamp and calibration."""
import contextlib
import os
import threading
from typing import Any, List, Optional

from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image

from ..core.camera_calibration import CameraCalibration, load_calibration
from ..core.camera_node_settings import CAMERA_NODE_SETTINGS
from ..core.data import Frame
from ..core.errors import ConfigError, FrameError
from ..core.health import Level
from ..core.image_source import ImageSource, SourceOptions
from ..sources import open_source
from .camera_messages import FrameWriter, camera_info
from .node_sink import NodeSink
from .parameters import declare_settings
from .session import run_node
from .status import StatusPublisher, status_of

_TICK_S = 0.2
_LONGEST_PAUSE_S = 30.0
_PATIENCE_S = 10.0


class CameraNode(Node):
    """Publishes the images of one source on `image`, and its calibration on `camera_info` with the same headers.

    A source that is lost is opened again, after pauses that grow.

    Attributes:
        stopped: future that is done when a video has ended, or with the exception that ended the node.
        reopened: how often the source was lost and opened again.

    Raises:
        ConfigError: a parameter or the calibration is wrong.
    """

    def __init__(self, name: str = 'camera', **kwargs: Any) -> None:
        # First: if the following fails, rclpy still calls `destroy_node` at its shutdown.
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name='camera', daemon=True)
        super().__init__(name, **kwargs)
        self.stopped: Future = Future()
        self.reopened = 0
        self._settings = settings = declare_settings(self, CAMERA_NODE_SETTINGS)
        self._options = SourceOptions(settings['source'], settings['pipeline'], settings['image_height'],
                                      settings['image_width'], settings['framerate'], settings['encoding'],
                                      settings['frame_id'])
        url = settings['camera_info_url']
        self._calibration = load_calibration(path_of(url)) if url else None
        sink = NodeSink(self)
        self._images = sink.create_publisher('image', Image, latched=False)
        sibling = self._images.topic_name.rsplit('/', 1)[0] + '/camera_info'  # Wherever `image` is remapped to.
        self._infos: Any = sink.create_publisher(sibling, CameraInfo, latched=False) if self._calibration else None
        self._writer = FrameWriter()
        self._count = 0
        self._lost = ''
        self._counted = 0
        self._status = StatusPublisher(self, self._statuses)
        self._thread.start()

    def destroy_node(self) -> None:
        """Release the camera, and the node itself."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)
        super().destroy_node()

    def _run(self) -> None:
        try:
            self._work()
            if not self._closing.is_set() and hasattr(self._images, 'wait_for_all_acked'):  # Not in Foxy.
                self._images.wait_for_all_acked(Duration(seconds=1))  # The last image of a video.
            self.stopped.set_result(None)
        except Exception as error:  # Whatever it is, the main thread must get it.
            if self.context.ok():  # After Ctrl-C publishing fails, which is harmless.
                self.stopped.set_exception(error)

    def _work(self) -> None:
        """Publish images until `destroy_node`, or until a video ends."""
        source: Optional[ImageSource] = self._open()  # At start, an error ends the node: nothing has worked yet.
        while source is not None:
            with contextlib.closing(source):
                try:
                    self._publish_all(source)
                    lost = ''
                except FrameError as error:
                    lost = str(error)
            if self._closing.is_set() or not lost and not self._settings['loop']:
                return
            source = self._reopen(lost) if lost else self._open()

    def _open(self) -> ImageSource:
        source = open_source(self._options, lambda: self.get_clock().now().nanoseconds, self._settings['reader'])
        self.get_logger().info('Opened {}'.format(source))
        return source

    def _reopen(self, lost: str) -> Optional[ImageSource]:
        """Open the source again as soon as possible; None = `destroy_node` was called before."""
        pause_s = 1.0
        while True:
            self._lost = lost
            self.get_logger().warning('{} Opening it again in {:.0f} s.'.format(lost, pause_s))
            if self._closing.wait(pause_s):
                return None
            try:
                source = self._open()
            except ConfigError as error:
                lost = str(error)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self.reopened += 1
                return source

    def _publish_all(self, source: ImageSource) -> None:
        """Publish the images of a source, until it ends or `destroy_node`."""
        waited_s = 0.0
        while not self._closing.is_set() and not source.ended:
            frame = source.read(_TICK_S)
            if frame is not None:
                waited_s = 0.0
                self._publish(frame)
                continue
            waited_s += _TICK_S
            if waited_s > self._settings['timeout'] and not source.ended:
                raise FrameError('no image for {:.1f} s.'.format(waited_s))

    def _publish(self, frame: Frame) -> None:
        image = self._writer.message(frame)
        if self._calibration is not None:
            _check_size(self._calibration, frame, self._settings['camera_info_url'])
            self._infos.publish(camera_info(self._calibration, image.header))
        self._images.publish(image)
        self._count += 1
        self._lost = ''

    def _statuses(self, interval_s: float) -> List[DiagnosticStatus]:
        before, count = self._counted, self._count
        self._counted = count
        rate_hz = (count - before) / interval_s
        lost = self._lost
        return [status_of(
            self.get_fully_qualified_name().lstrip('/') + ': camera', Level.ERROR if lost else Level.OK,
            lost or ('{:.1f} images/s'.format(rate_hz) if count else 'waiting for the first image'),
            [('rate (Hz)', '{:.2f}'.format(rate_hz)), ('images', str(count)), ('reopened', str(self.reopened))],
            self._options.pipeline or self._options.source)]


def _check_size(calibration: CameraCalibration, frame: Frame, url: str) -> None:
    if (calibration.height, calibration.width) != (frame.height, frame.width):
        raise ConfigError('{}: got a calibration of {}x{} px, expected one of the {}x{} px of the images. Calibrate at '
                          'this resolution, or set image_width and image_height.'.format(
                              url, calibration.height, calibration.width, frame.height, frame.width))


def path_of(url: str) -> str:
    """Return the path of a camera_info_url.

    Raises:
        ConfigError: no such package, or another kind of URL.
    """
    kind, separator, place = url.partition('://')
    if not separator:
        return url
    if kind == 'file' and place.startswith('/'):
        return place
    package, _, path = place.partition('/')
    if kind == 'package' and package and path:
        try:
            return os.path.join(get_package_share_directory(package), path)
        except (LookupError, OSError) as error:
            raise ConfigError('camera_info_url: {}: there is no package {!r} here. Source its workspace.'.format(
                url, package)) from error
    raise ConfigError('camera_info_url: got {!r}, expected a path, file:///PATH or package://PACKAGE/PATH.'.format(url))


def run(name: str, args: Optional[List[str]] = None) -> int:
    """Run the node; see `session.run_node`."""
    return run_node(name, CameraNode, args)

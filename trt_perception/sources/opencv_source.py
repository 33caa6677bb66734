"""Images from V4L2 cameras and videos through OpenCV, where GStreamer's Python bindings are not installed."""
from typing import Callable, Optional

import cv2

from ..core.data import Frame
from ..core.errors import ConfigError, FrameError
from ..core.image import frame_from_array
from ..core.image_source import ImageSource, SourceOptions
from . import V4L2, kind_of
from .pace import Pace

_RATE_HZ = 30.0
"""Rate of a video without its own."""


class OpenCVSource(ImageSource):
    """Returns bgr8 images. The time of capture is unknown; the stamp is the time at which OpenCV returned the image."""

    def __init__(self, options: SourceOptions, now_ns: Callable[[], int]) -> None:
        super().__init__(options, now_ns)
        if options.encoding not in ('', 'bgr8'):
            raise ConfigError("encoding: got {!r}, expected '' or bgr8, the only one that OpenCV gives. For others apt "
                              "install python3-gst-1.0, GStreamer's Python bindings.".format(options.encoding))
        is_camera = kind_of(options) == V4L2
        self._capture = cv2.VideoCapture(options.source, cv2.CAP_V4L2 if is_camera else cv2.CAP_ANY)
        if not self._capture.isOpened():
            raise ConfigError('{}: OpenCV cannot open it. Check that it is a {}, and that you may read it.'.format(
                options.source, 'camera that no other program uses' if is_camera else 'video of a codec it knows'))
        for key, value in ((cv2.CAP_PROP_FRAME_WIDTH, options.width), (cv2.CAP_PROP_FRAME_HEIGHT, options.height),
                           (cv2.CAP_PROP_FPS, options.rate_hz)):
            if is_camera and value:
                self._capture.set(key, value)
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        self._pace = None if is_camera else Pace(rate_hz if 0 < rate_hz < 1000 else _RATE_HZ)

    def __str__(self) -> str:
        return '{} with OpenCV'.format(self.options.source)

    def read(self, timeout_s: float) -> Optional[Frame]:
        """Return the next image. Without one, OpenCV waits for ten seconds, whatever the timeout."""
        if self._pace is not None and not self._pace.wait(timeout_s):
            return None
        is_read, image = self._capture.read()
        stamp_ns = self.now_ns()
        if not is_read and self._pace is None:
            raise FrameError('{}: no image. Is the camera still connected?'.format(self.options.source))
        if not is_read:
            self.ended = True
            return None
        height, width = self.options.height or image.shape[0], self.options.width or image.shape[1]
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return frame_from_array(image, stamp_ns, self.options.frame_id)

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()

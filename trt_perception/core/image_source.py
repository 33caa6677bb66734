"""The contract of image sources: `sources/` has one module per library that reads cameras."""
import abc
from typing import Callable, NamedTuple, Optional

from .data import Frame


class SourceOptions(NamedTuple):
    """Which images to read, and how."""

    source: str
    """Source, see `kind_of` in sources/: a V4L2 device, 'csi:0', the path of a video, 'test'."""
    pipeline: str = ''
    """GStreamer pipeline that ends in video/x-raw, instead of `source`."""
    height: int = 0
    """px; 0 = as the source gives it."""
    width: int = 0
    """px; 0 = as the source gives it."""
    rate_hz: float = 0.0
    """Images per second; 0 = that of the source."""
    encoding: str = ''
    """Encoding, as in sensor_msgs/Image; '' = that of the source, without a conversion where possible."""
    frame_id: str = ''
    """frame_id of the frames."""


class ImageSource(abc.ABC):
    """Returns one image after another. Opened, used and closed by one thread.

    Args:
        now_ns: the clock of the stamps.

    Attributes:
        ended: whether there will be no more images: the end of a video.

    Raises:
        ConfigError: it cannot be opened.
    """

    def __init__(self, options: SourceOptions, now_ns: Callable[[], int]) -> None:
        self.options = options
        self.now_ns = now_ns
        self.ended = False

    @abc.abstractmethod
    def __str__(self) -> str:
        """Return a description of the opened source, human-readable."""

    @abc.abstractmethod
    def read(self, timeout_s: float) -> Optional[Frame]:
        """Return the next image, or None when none came in time or the video ended. ITS MEMORY IS REUSED BY THE NEXT.

        Raises:
            FrameError: the camera is gone, or the stream is broken; open it again.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Release the camera. May be called twice."""

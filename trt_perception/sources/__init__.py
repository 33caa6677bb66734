"""Sources of images for `camera_node`: CSI and V4L2 cameras, videos, GStreamer pipelines, a test pattern."""
import importlib
import os
from typing import Any, Callable, Dict, Iterable, NamedTuple, Tuple

from ..core.errors import ConfigError
from ..core.image_source import ImageSource, SourceOptions

AUTOMATIC, GSTREAMER, OPENCV, PATTERN = 'auto', 'gstreamer', 'opencv', 'pattern'
READERS: Dict[str, str] = {
    GSTREAMER: 'gstreamer_source:GStreamerSource',
    OPENCV: 'opencv_source:OpenCVSource',
    PATTERN: 'pattern_source:PatternSource',
}
"""Library -> 'module:Class' of its ImageSource, imported only when chosen."""


INSTALL_GSTREAMER = 'apt install python3-gst-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good'
"""Command that installs GStreamer and its Python bindings."""


class Kind(NamedTuple):
    """One kind of source."""

    name: str
    readers: Tuple[str, ...]
    """Readers, best first."""


CSI = Kind('CSI camera', (GSTREAMER,))
V4L2 = Kind('V4L2 camera', (GSTREAMER, OPENCV))
VIDEO = Kind('video', (GSTREAMER, OPENCV))
PIPELINE = Kind('GStreamer pipeline', (GSTREAMER,))
TEST = Kind('test pattern', (PATTERN,))


def kind_of(options: SourceOptions) -> Kind:
    """Return the requested kind of source.

    Raises:
        ConfigError: it is unknown.
    """
    source = options.source
    if options.pipeline:
        return PIPELINE
    if source == 'test':
        return TEST
    name, _, sensor = source.partition(':')
    if name == 'csi' and (sensor.isdigit() or source == 'csi'):
        return CSI
    if source.startswith('/dev/'):
        return V4L2
    if os.path.isfile(source):
        return VIDEO
    raise ConfigError("source: got {!r}, expected a V4L2 device (/dev/video0), a CSI camera (csi:0), the path of a "
                      "video or 'test'. Correct it, or set `pipeline`.".format(source))


def open_source(options: SourceOptions, now_ns: Callable[[], int], reader: str = AUTOMATIC) -> ImageSource:
    """Open a source of images.

    Args:
        now_ns: the clock of the stamps.
        reader: a name in READERS, or auto: the best that is installed.

    Raises:
        ConfigError: no installed library can read it, or it cannot be opened.
    """
    kind = kind_of(options)
    if kind == V4L2 and not os.path.exists(options.source):
        raise ConfigError('source: {} is not there. Connect the camera, or choose one of those that `ls /dev/video*` '
                          'shows.'.format(options.source))
    if reader != AUTOMATIC and reader not in kind.readers:
        raise ConfigError('reader: got {!r}, expected {} for a {}.'.format(reader, ' or '.join(
            (AUTOMATIC,) + kind.readers), kind.name))
    readers = kind.readers if reader == AUTOMATIC else (reader,)
    missing = unavailable(readers)
    for name in readers:
        if name not in missing:
            return _source_class(name)(options, now_ns)
    raise ConfigError('a {} needs {}, which cannot be imported. For GStreamer: {}.'.format(
        kind.name, ' or '.join('{} ({})'.format(*each) for each in missing.items()), INSTALL_GSTREAMER))


def unavailable(readers: Iterable[str] = tuple(READERS)) -> Dict[str, str]:
    """Return which of these readers cannot be imported here, and why."""
    reasons = {}
    for reader in readers:
        try:
            _source_class(reader)
        except (ImportError, ValueError) as error:  # ValueError: PyGObject is there, but no typelib of GStreamer.
            reasons[reader] = str(error)
    return reasons


def _source_class(reader: str) -> Any:
    module, _, name = READERS[reader].partition(':')
    return getattr(importlib.import_module('.' + module, __name__), name)

"""Images from a GStreamer pipeline: CSI cameras of a Jetson, V4L2 cameras, videos, pipelines of the user.

Needs GStreamer's Python bindings: Debian's python3-gst-1.0, with gstreamer1.0-plugins-base and -good.
"""
from typing import Any, Callable, Iterable, NamedTuple, Optional, Sequence, Tuple

import gi
import numpy as np

from ..core.data import Frame
from ..core.errors import ConfigError, FrameError
from ..core.image import make_frame
from ..core.image_source import ImageSource, SourceOptions
from . import CSI, PIPELINE, VIDEO, kind_of

gi.require_version('Gst', '1.0')
gi.require_version('GstApp', '1.0')  # Adds the appsink's methods.
gi.require_version('GstVideo', '1.0')
from gi.repository import GLib, Gst, GstApp, GstVideo  # noqa: E402,F401

FORMATS = {'nv12': 'NV12', 'nv21': 'NV21', 'nv24': 'NV24', 'i420': 'I420', 'yuv422_yuy2': 'YUY2', 'yuv422': 'UYVY',
           'bgr8': 'BGR', 'rgb8': 'RGB', 'bgra8': 'BGRA', 'rgba8': 'RGBA', 'mono8': 'GRAY8', 'mono16': 'GRAY16_LE'}
"""Encoding -> its name in GStreamer."""
_ENCODINGS = {name: encoding for encoding, name in FORMATS.items()}
_START_S = 10.0
_LONGEST_LATENCY_NS = 10**9


def description(options: SourceOptions) -> str:
    """Return the pipeline in the syntax of `gst-launch-1.0`, up to its appsink.

    A videoconvert before the sink passes the buffers on unchanged, unless another encoding is required.

    Raises:
        ConfigError: there is no such source.
    """
    kind = kind_of(options)
    size = _size(options)
    size += ',framerate={}/1000'.format(int(round(options.rate_hz * 1000))) if options.rate_hz else ''
    if kind == PIPELINE:
        elements = options.pipeline
    elif kind == CSI:
        sensor = options.source.partition(':')[2] or '0'
        elements = 'nvarguscamerasrc sensor-id={} ! video/x-raw(memory:NVMM),format=NV12{} ! nvvidconv ! ' \
                   'video/x-raw,format=NV12'.format(sensor, size)
    elif kind == VIDEO:
        elements = 'filesrc location={} ! decodebin'.format(_quoted(options.source))
    else:  # Raw if the camera has that size and rate raw, else JPEG.
        elements = 'v4l2src device={} ! capsfilter caps="video/x-raw{};image/jpeg{}" ! decodebin'.format(
            _quoted(options.source), size, size)
    if kind == VIDEO and (options.height or options.width):
        elements += ' ! videoscale'
    return elements + ' ! videoconvert'


def _caps(options: SourceOptions, encodings: Iterable[str]) -> str:
    """Return the caps of the appsink: one of these encodings."""
    formats = [FORMATS[encoding] for encoding in encodings]
    return 'video/x-raw,format=(string){{{}}}{}'.format(','.join(formats), _size(options))


def _size(options: SourceOptions) -> str:
    return ''.join(',{}={}'.format(name, value)
                   for name, value in (('width', options.width), ('height', options.height)) if value)


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace('\\', '\\\\').replace('"', '\\"'))


class GStreamerSource(ImageSource):
    """Returns the newest image of a pipeline, with the time of capture as the stamp if the pipeline has it."""

    def __init__(self, options: SourceOptions, now_ns: Callable[[], int]) -> None:
        super().__init__(options, now_ns)
        if options.encoding and options.encoding not in FORMATS:
            raise ConfigError("encoding: got {!r}, expected '' or one of {}.".format(
                options.encoding, ', '.join(FORMATS)))
        Gst.init(None)
        self._mapped: Any = None
        self._open((options.encoding,) if options.encoding else tuple(FORMATS))

    def __str__(self) -> str:
        return '{} with GStreamer: {}'.format(self._name, self.description)

    def read(self, timeout_s: float) -> Optional[Frame]:
        """Return the newest image, or the next one of a video when it is due."""
        self._release()
        sample = self._sink.try_pull_sample(int(timeout_s * Gst.SECOND))
        if sample is not None:
            info = _video_info(sample.get_caps())
            if self.options.encoding or not _is_full_range(info):
                return self._frame(sample, info)
            self.close()
            try:
                self._open(('bgr8', 'rgb8', 'mono8'))
            except ConfigError as error:  # It was open a moment ago.
                raise FrameError(str(error)) from error
            return None
        reason = self._error()
        if reason:
            raise FrameError('{}: {} Is the camera still connected?'.format(self._name, reason))
        if self._sink.is_eos():
            if self._is_live:
                raise FrameError('{}: the stream has ended. Is the camera still connected?'.format(self._name))
            self.ended = True
        return None

    def close(self) -> None:
        """Stop the pipeline."""
        self._release()
        self._pipeline.set_state(Gst.State.NULL)

    @property
    def _name(self) -> str:
        return 'pipeline' if self.options.pipeline else self.options.source

    def _open(self, encodings: Iterable[str]) -> None:
        """Start the pipeline; its first image decides which of the encodings."""
        self.description = '{} ! appsink name=images max-buffers=1 caps={}'.format(
            description(self.options), _quoted(_caps(self.options, encodings)))
        try:
            self._pipeline = Gst.parse_launch(self.description)
        except GLib.Error as error:
            raise ConfigError('GStreamer pipeline: {}. It is: {}'.format(error.message, self.description)) from error
        self._sink = self._pipeline.get_by_name('images')
        result = self._pipeline.set_state(Gst.State.PAUSED)
        if result == Gst.StateChangeReturn.ASYNC:
            result, _, _ = self._pipeline.get_state(int(_START_S * Gst.SECOND))
        self._is_live = result == Gst.StateChangeReturn.NO_PREROLL
        if self._is_live:  # A live pipeline: no pacing, and the newest image is used.
            self._sink.set_property('sync', False)
            self._sink.set_property('drop', True)
        if result != Gst.StateChangeReturn.FAILURE:
            result = self._pipeline.set_state(Gst.State.PLAYING)
        reason = self._error()
        if reason or result == Gst.StateChangeReturn.FAILURE:
            self.close()
            raise ConfigError('{}: GStreamer cannot open it: {} The pipeline is: {}'.format(
                self._name, reason or 'no reason given.', self.description))

    def _error(self) -> str:
        """Return the first error of the pipeline; '' = none."""
        message = self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        if message is None:
            return ''
        error, debug = message.parse_error()
        _, _, reason = (debug or '').partition(':\n')  # It follows a location in C code.
        return ' '.join([error.message] + reason.split())

    def _frame(self, sample: Any, info: Any) -> Frame:
        caps, buffer = sample.get_caps(), sample.get_buffer()
        stamp_ns = self.now_ns() - self._latency_ns(sample.get_segment(), buffer.pts)
        is_mapped, memory = buffer.map(Gst.MapFlags.READ)
        if not is_mapped:
            raise FrameError('{}: an image cannot be read from its memory ({}). End `pipeline` in system memory, on a '
                             'Jetson with nvvidconv.'.format(self._name, caps.to_string()))
        self._mapped = buffer, memory
        meta = GstVideo.buffer_get_video_meta(buffer)
        layout = info if meta is None else meta
        data, step = packed(np.frombuffer(memory.data, np.uint8), [
            Plane(layout.offset[i], layout.stride[i], -(-info.height >> info.finfo.h_sub[i]),
                  -(-info.width >> info.finfo.w_sub[i]) * info.finfo.pixel_stride[i])
            for i in range(info.finfo.n_planes)])
        return make_frame(data, info.height, info.width, step, _ENCODINGS[info.finfo.name], stamp_ns,
                          self.options.frame_id)

    def _latency_ns(self, segment: Any, pts: int) -> int:
        """Return the time since the capture of a buffer; 0 if it is unknown or implausible."""
        running_ns = segment.to_running_time(Gst.Format.TIME, pts) if pts != Gst.CLOCK_TIME_NONE else None
        clock = self._pipeline.get_clock()
        if running_ns in (None, Gst.CLOCK_TIME_NONE) or clock is None:
            return 0
        latency_ns = int(clock.get_time() - self._pipeline.get_base_time() - running_ns)
        return latency_ns if 0 <= latency_ns < _LONGEST_LATENCY_NS else 0

    def _release(self) -> None:
        if self._mapped is not None:
            buffer, memory = self._mapped
            buffer.unmap(memory)
            self._mapped = None


class Plane(NamedTuple):
    """The position of a plane of an image in its memory."""

    offset: int
    step: int
    """Bytes from one row to the next."""
    rows: int
    row_bytes: int
    """Bytes of a row without padding."""


def packed(data: np.ndarray, planes: Sequence[Plane]) -> Tuple[np.ndarray, int]:
    """Return the bytes of an image with contiguous planes, as messages require, and the step of its rows.

    Nothing is copied if they are already contiguous, with the same share of padding.

    Args:
        data: (N,) uint8, the memory of the image.
    """
    first = planes[0]
    end = first.offset
    for plane in planes:
        if plane.offset != end or plane.step * first.row_bytes != first.step * plane.row_bytes:
            return np.concatenate([_rows(data, each) for each in planes]), first.row_bytes
        end += plane.step * plane.rows
    return data[first.offset:], first.step


def _rows(data: np.ndarray, plane: Plane) -> np.ndarray:
    """Return (rows * row_bytes,) uint8 of a plane; the last row may lack its padding."""
    strided = np.lib.stride_tricks.as_strided
    return strided(data[plane.offset:], (plane.rows, plane.row_bytes), (plane.step, 1)).reshape(-1)


def _is_full_range(info: Any) -> bool:
    """Return whether an image is full-range YUV, as of a JPEG: messages cannot tell, and studio range is expected."""
    return bool(info.finfo.flags & GstVideo.VideoFormatFlags.YUV) and \
        info.colorimetry.range == getattr(GstVideo.VideoColorRange, '0_255')  # A name that is not valid in Python.


def _video_info(caps: Any) -> Any:
    if hasattr(GstVideo.VideoInfo, 'new_from_caps'):
        return GstVideo.VideoInfo.new_from_caps(caps)
    info = GstVideo.VideoInfo()  # Before GStreamer 1.20.
    info.from_caps(caps)
    return info

import numpy as np
import pytest

from trt_perception import sources
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import FrameDecoder
from trt_perception.core.image_source import SourceOptions
from trt_perception.sources import kind_of, open_source
from trt_perception.sources.pattern_source import STEP_PX


@pytest.mark.parametrize(('options', 'kind'), [
    (SourceOptions('test'), sources.TEST), (SourceOptions('csi'), sources.CSI), (SourceOptions('csi:1'), sources.CSI),
    (SourceOptions('/dev/video7'), sources.V4L2), (SourceOptions(__file__), sources.VIDEO),
    (SourceOptions('/dev/video0', 'videotestsrc'), sources.PIPELINE)])
def test_the_name_of_a_source_says_what_it_is(options, kind):
    assert kind_of(options) == kind


@pytest.mark.parametrize(('name', 'text'), [
    ('', "source: got '', expected a V4L2 device"), ('/no/such.mp4', "source: got '/no/such.mp4', expected"),
    ('csi:a', "source: got 'csi:a', expected"), ('/dev/video99', 'source: /dev/video99 is not there')])
def test_a_source_that_is_none_is_refused(name, text):
    with pytest.raises(ConfigError, match=text):
        open_source(SourceOptions(name), lambda: 0)


def test_a_reader_that_cannot_read_the_source_is_refused():
    with pytest.raises(ConfigError, match="reader: got 'opencv', expected auto or gstreamer for a CSI camera"):
        open_source(SourceOptions('csi:0'), lambda: 0, 'opencv')


def test_without_gstreamer_a_csi_camera_says_what_to_install(monkeypatch):
    def missing(reader):
        raise ImportError("No module named 'gi'")
    monkeypatch.setattr(sources, '_source_class', missing)
    with pytest.raises(ConfigError, match=r"a CSI camera needs gstreamer \(No module named 'gi'\), which cannot be "
                                          'imported. For GStreamer: apt install python3-gst-1.0'):
        open_source(SourceOptions('csi:0'), lambda: 0)


def test_without_gstreamer_a_video_is_read_by_opencv(monkeypatch, video):
    found = sources._source_class

    def without_gstreamer(reader):
        if reader == sources.GSTREAMER:
            raise ImportError("No module named 'gi'")
        return found(reader)
    monkeypatch.setattr(sources, '_source_class', without_gstreamer)
    source = open_source(SourceOptions(str(video.path)), lambda: 0)
    assert str(source) == '{} with OpenCV'.format(video.path)
    source.close()


def test_the_test_pattern_moves_by_the_same_step_from_image_to_image():
    clock = iter(range(10))
    source = open_source(SourceOptions('test', height=96, width=128, rate_hz=1000, frame_id='front'),
                         lambda: next(clock))
    frames = [source.read(1.0) for _ in range(4)]
    assert [(frame.stamp_ns, frame.frame_id, frame.encoding) for frame in frames] == [
        (n, 'front', 'rgb8') for n in range(4)]
    images = [np.array(FrameDecoder().image(frame, 'rgb', (96, 128))) for frame in frames]
    right, down = STEP_PX
    assert len({image.tobytes() for image in images}) == 4
    for before, after in zip(images, images[1:]):
        np.testing.assert_array_equal(after[down:, right:], before[:-down, :-right])


def test_the_test_pattern_keeps_its_rate():
    source = open_source(SourceOptions('test', height=48, width=64, rate_hz=2), lambda: 0)
    assert source.read(0.0) is not None
    assert source.read(0.02) is None


def test_the_test_pattern_has_one_encoding():
    with pytest.raises(ConfigError, match="encoding: got 'nv12', expected '' or rgb8"):
        open_source(SourceOptions('test', encoding='nv12'), lambda: 0)

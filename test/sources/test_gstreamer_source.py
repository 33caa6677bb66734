"""Real GStreamer, where its Python bindings are installed: `make gstreamer` takes them from Debian."""
import time

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.image import FrameDecoder
from trt_perception.core.image_source import SourceOptions
from trt_perception.sources import open_source

try:
    from trt_perception.sources import gstreamer_source
    from trt_perception.sources.gstreamer_source import FORMATS, Plane, description, packed
except (ImportError, ValueError) as error:
    pytest.skip("GStreamer's Python bindings cannot be imported: {}".format(error), allow_module_level=True)

RED, GREEN, BLUE = 0xffff0000, 0xff00ff00, 0xff0000ff


@pytest.fixture
def opened():
    """Give a function that opens a source, closed at the end of the test."""
    sources = []

    def open_it(source='', now_ns=time.time_ns, **options):
        sources.append(open_source(SourceOptions(source, frame_id='front', **options), now_ns, 'gstreamer'))
        return sources[-1]
    yield open_it
    for source in sources:
        source.close()


def color_of(frame):
    return FrameDecoder().image(frame, 'rgb', (frame.height, frame.width)).reshape(-1, 3)


@pytest.mark.parametrize('encoding', sorted(FORMATS))
@pytest.mark.parametrize('size', [(48, 64), (50, 66)], ids=['aligned', 'with padded rows'])
def test_every_encoding_comes_as_its_bytes_with_padding_and_all(opened, encoding, size):
    source = opened(pipeline='videotestsrc pattern=smpte ! video/x-raw,format=RGB', encoding=encoding,
                    height=size[0], width=size[1])
    reference = opened(pipeline='videotestsrc pattern=smpte ! video/x-raw,format=RGB', encoding='rgb8',
                       height=size[0], width=size[1])
    frame = source.read(5.0)
    assert (frame.encoding, frame.height, frame.width, frame.frame_id) == (encoding,) + size + ('front',)
    expected = np.array(FrameDecoder().image(reference.read(5.0), 'gray' if 'mono' in encoding else 'rgb', size), int)
    got = FrameDecoder().image(frame, 'gray' if 'mono' in encoding else 'rgb', size)
    # Subsampled chroma differs at the edges of the bars; misplaced planes or rows would differ everywhere.
    assert np.median(np.abs(got - expected)) <= 6
    assert np.mean(np.abs(got - expected) > 24) < 0.1


def test_images_without_gaps_between_their_planes_are_not_copied():
    data = np.arange(36, dtype=np.uint8)
    compact, step = packed(data, [Plane(0, 6, 4, 4), Plane(24, 6, 2, 4)])
    assert step == 6
    assert compact.base is data or compact is data
    apart, step = packed(data, [Plane(0, 4, 4, 4), Plane(20, 8, 2, 4)])
    assert step == 4
    assert apart.tolist() == list(range(16)) + [20, 21, 22, 23, 28, 29, 30, 31]


def test_nv12_of_a_camera_passes_without_a_conversion(opened):
    source = opened(pipeline='videotestsrc is-live=true ! video/x-raw,format=NV12,width=64,height=48')
    assert source.read(5.0).encoding == 'nv12'
    [convert] = [each for each in source._pipeline.children if each.get_factory().get_name() == 'videoconvert']
    assert convert.get_static_pad('sink').get_current_caps().is_equal(
        convert.get_static_pad('src').get_current_caps())


def test_the_stamp_is_of_the_capture_not_of_the_delivery(opened):
    source = opened(pipeline='videotestsrc is-live=true ! video/x-raw,framerate=20/1 ! '
                             'queue min-threshold-time=200000000')
    ages = []
    for _ in range(5):
        frame = source.read(5.0)
        ages.append((time.time_ns() - frame.stamp_ns) * 1e-9)
    assert min(ages) > 0.15
    assert max(ages) < 2


def test_live_images_have_rising_stamps_at_the_rate_of_the_camera(opened):
    source = opened(pipeline='videotestsrc is-live=true ! video/x-raw,framerate=50/1')
    stamps = [source.read(5.0).stamp_ns for _ in range(10)]
    steps = np.diff(stamps) * 1e-9
    assert (steps > 0.005).all()
    assert abs(np.median(steps) - 0.02) < 0.01


def test_the_newest_image_of_a_camera_wins(opened):
    source = opened(pipeline='videotestsrc is-live=true ! video/x-raw,framerate=50/1')
    source.read(5.0)
    time.sleep(0.5)
    stamps = [source.read(5.0).stamp_ns for _ in range(2)]
    assert time.time_ns() - stamps[1] < 0.3e9


def test_a_video_gives_all_its_images_in_order_at_its_rate_and_ends(opened, video):
    source = opened(str(video.path))
    began_s = time.monotonic()
    colors = []
    while not source.ended:
        frame = source.read(1.0)
        if frame is not None:
            colors.append(color_of(frame).mean(0)[::-1])
            if len(colors) == 2:
                time.sleep(0.1)  # However slow the reader is.
    np.testing.assert_allclose(colors, video.colors, atol=6)  # 20 grey levels off in JPEG's range.
    assert time.monotonic() - began_s > 4 / video.rate_hz - 0.01


def test_a_video_can_be_read_smaller(opened, video):
    frame = opened(str(video.path), height=24, width=32, encoding='bgr8').read(5.0)
    assert (frame.height, frame.width, frame.encoding) == (24, 32, 'bgr8')


def drain(source):
    for _ in range(20):
        source.read(0.5)


def test_a_camera_that_stops_is_lost(opened):
    source = opened(pipeline='videotestsrc is-live=true num-buffers=2')
    with pytest.raises(FrameError, match='pipeline: the stream has ended. Is the camera still connected'):
        drain(source)


def test_a_camera_that_fails_tells_what_gstreamer_says(opened):
    source = opened(pipeline='videotestsrc is-live=true ! identity error-after=3')
    with pytest.raises(FrameError, match='pipeline: .*[Ff]ailed after iterations as requested'):
        drain(source)


def test_a_camera_that_stalls_gives_nothing(opened):
    source = opened(pipeline='videotestsrc is-live=true ! video/x-raw,framerate=1/10')
    source.read(5.0)
    assert source.read(0.05) is None
    assert not source.ended


@pytest.mark.parametrize(('pipeline', 'text'), [
    ('nosuchsrc', 'GStreamer pipeline: no element "nosuchsrc"'),
    ('videotestsrc !', 'GStreamer pipeline: '),
    ('videotestsrc ! video/x-raw,format=NV12 ! capsfilter caps=video/x-raw,format=RGB', 'GStreamer pipeline: could '),
    ('v4l2src device=/dev/video99', "GStreamer cannot open it: Cannot identify device '/dev/video99'. system error: No "
                                    'such file or directory')])
def test_a_pipeline_that_cannot_start_says_why(opened, pipeline, text):
    with pytest.raises(ConfigError, match=text):
        opened(pipeline=pipeline)


def test_a_file_that_is_no_video_is_refused(opened, tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'no video at all')
    with pytest.raises(ConfigError, match='a.mp4: GStreamer cannot open it: '):
        opened(str(path))


def test_an_unknown_encoding_is_refused(opened):
    with pytest.raises(ConfigError, match="encoding: got 'bayer_rggb8', expected '' or one of nv12, "):
        opened(pipeline='videotestsrc', encoding='bayer_rggb8')


def test_a_csi_camera_is_asked_for_nv12_in_size_and_rate():
    assert description(SourceOptions('csi:1', height=720, width=1280, rate_hz=29.97)) == (
        'nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12,width=1280,height=720,'
        'framerate=29970/1000 ! nvvidconv ! video/x-raw,format=NV12 ! videoconvert')


def test_the_pipeline_of_a_csi_camera_gives_nv12_frames(opened, monkeypatch):
    # Stand-ins for the two elements that only a Jetson has; the rest of the description is what runs there.
    def stood_in(options):
        text = description(options)
        for jetson, here in (('nvarguscamerasrc sensor-id=0', 'videotestsrc is-live=true'), ('(memory:NVMM)', ''),
                             ('nvvidconv', 'identity')):
            assert jetson in text
            text = text.replace(jetson, here)
        return text
    monkeypatch.setattr(gstreamer_source, 'description', stood_in)
    frame = opened('csi', height=48, width=64, rate_hz=30).read(5.0)
    assert (frame.encoding, frame.height, frame.width, frame.data.shape) == ('nv12', 48, 64, (72, 64))


def test_a_v4l2_camera_may_give_raw_images_or_jpeg(opened, monkeypatch):
    text = description(SourceOptions('/dev/video0', height=48, width=64))
    assert text == ('v4l2src device="/dev/video0" ! capsfilter caps="video/x-raw,width=64,height=48;image/jpeg,'
                    'width=64,height=48" ! decodebin ! videoconvert')
    for camera in ('videotestsrc is-live=true ! video/x-raw,format=YUY2', 'videotestsrc is-live=true ! jpegenc'):
        monkeypatch.setattr(gstreamer_source, 'description', lambda options, camera=camera: text.replace(
            'v4l2src device="/dev/video0"', camera))
        source = opened('/dev/null', height=48, width=64)
        frame = source.read(5.0) or source.read(5.0)  # The first of a JPEG's decides how to go on.
        # JPEG has YUV of another range than messages, so it must not pass as i420.
        assert (frame.height, frame.width, frame.encoding) == (48, 64, 'yuv422_yuy2' if 'YUY2' in camera else 'bgr8')

import time

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import FrameDecoder
from trt_perception.core.image_source import SourceOptions
from trt_perception.sources import open_source


def open_video(path, **options):
    return open_source(SourceOptions(str(path), frame_id='front', **options), lambda: 7, 'opencv')


def test_a_video_gives_its_images_in_order_at_its_rate_and_ends(video):
    source = open_video(video.path)
    began_s = time.monotonic()
    frames = []
    while not source.ended:
        frame = source.read(1.0)
        if frame is not None:
            frames.append(frame._replace(data=frame.data.copy()))
    took_s = time.monotonic() - began_s
    source.close()
    assert [(f.encoding, f.height, f.width, f.stamp_ns, f.frame_id) for f in frames] == [
        ('bgr8', 48, 64, 7, 'front')] * 5
    for frame, color in zip(frames, video.colors):
        np.testing.assert_allclose(FrameDecoder().image(frame, 'bgr', (48, 64)).mean((0, 1)), color, atol=6)
    assert took_s > 4 / video.rate_hz - 0.01


def test_a_video_can_be_read_smaller(video):
    source = open_video(video.path, height=24, width=32)
    frame = source.read(1.0)
    assert (frame.height, frame.width, frame.data.shape) == (24, 32, (24, 96))
    np.testing.assert_allclose(frame.data.reshape(24, 32, 3).mean((0, 1)), video.colors[0], atol=6)
    source.close()


def test_a_file_that_is_no_video_is_refused(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'no video')
    with pytest.raises(ConfigError, match='a.mp4: OpenCV cannot open it. Check that it is a video'):
        open_video(path)


def test_an_encoding_that_opencv_does_not_give_is_refused(video):
    with pytest.raises(ConfigError, match="encoding: got 'nv12', expected '' or bgr8, .* python3-gst-1.0"):
        open_video(video.path, encoding='nv12')

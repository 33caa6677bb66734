"""A short video whose images can be told apart."""
from collections import namedtuple

import cv2
import numpy as np
import pytest

Video = namedtuple('Video', 'path size colors rate_hz')


@pytest.fixture
def video(tmp_path):
    """Write a video of plain colours, BGR; JPEG changes them by a few grey levels."""
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (220, 220, 40)]
    it = Video(tmp_path / 'a "video".avi', (48, 64), colors, 50.0)
    writer = cv2.VideoWriter(str(it.path), cv2.VideoWriter_fourcc(*'MJPG'), it.rate_hz, it.size[::-1])
    assert writer.isOpened()
    for color in colors:
        writer.write(np.full(it.size + (3,), color, np.uint8))
    writer.release()
    return it

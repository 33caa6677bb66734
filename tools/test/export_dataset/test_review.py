import json

import cv2
import numpy as np
import pytest
from bags import ROS, images, stamped

from trt_perception_tools.cli import main
from trt_perception_tools.datasets.images import read_image
from trt_perception_tools.export_dataset.review import Reviewed, worst

SIZE = (96, 128)


def scene(number, darkest=100, swapped=False):
    """Return an image of smooth texture, red below and green above its middle, or the other way round."""
    texture = cv2.GaussianBlur(np.random.default_rng(1).uniform(0, 1, SIZE).astype(np.float32), (0, 0), 3)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    pixels = np.zeros((*SIZE, 3), np.uint8)
    top = np.arange(SIZE[0])[:, np.newaxis] < SIZE[0] // 2
    strong, weak = darkest + texture * 40, texture * 40
    pixels[..., 0] = np.where(top == swapped, strong, weak)
    pixels[..., 1] = np.where(top == swapped, weak, strong)
    return ROS.Image(header=stamped(number), height=SIZE[0], width=SIZE[1], encoding='rgb8', step=3 * SIZE[1],
                     data=pixels.reshape(-1))


def test_the_sheet_shows_doubtful_and_flickering_images(tmp_path, run_of):
    sent = images(60, size=SIZE)
    for number, (topic, _, time_ns) in enumerate(sent):
        # The tiny network's confidence is the level of the strongest channel. The colours of the scene change places in
        # image 45, which its texture, all that grey levels show, does not.
        sent[number] = (topic, scene(number, 30 if number == 20 else 100, number >= 45), time_ns)
    assert main(['export-dataset', str(run_of(sent)), str(tmp_path / 'out'), '--review', '2']) == 0
    found = json.loads((tmp_path / 'out' / 'review.json').read_text())
    stamps = [sent[number][1].header.stamp for number in (20, 45)]
    expected = [stamp.sec * 10**9 + stamp.nanosec for stamp in stamps]
    assert found['least certain'][0]['stamp_ns'] == expected[0]
    assert found['least certain'][0]['confidence'] < 0.3 < found['least certain'][1]['confidence']
    assert found['most flickering'][0]['stamp_ns'] == expected[1]
    assert found['most flickering'][0]['flicker'] > 0.5
    sheet = read_image(tmp_path / 'out' / 'review.jpg')
    assert sheet.shape[1] == 2 * 2 * 320
    assert (np.abs(sheet.astype(int) - (40, 40, 220)).sum(2) < 60).mean() > 0.01  # Red, where labels changed.


@pytest.mark.parametrize(('count', 'expected'), [(1, [0.9]), (3, [0.9, 0.5, 0.4]), (9, [0.9, 0.5, 0.4])])
def test_of_neighbours_only_the_worst_is_shown(count, expected):
    values = {0: 0.4, 1: 0.2, 2_000_000_000: 0.9, 2_500_000_000: 0.8, 4_000_000_000: 0.5, 6_000_000_000: float('nan')}
    reviewed = [Reviewed('', stamp_ns, 1.0, value) for stamp_ns, value in values.items()]
    assert [each.flicker for each in worst(reviewed, lambda each: each.flicker, count)] == expected

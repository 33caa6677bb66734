import cv2
import numpy as np
import pytest
import torch

from trt_perception_tools.train.augment import Augmentation
from trt_perception_tools.train.video import Clips, Consistency, consistency_loss

SIZE = (64, 96)
STILL = {'brightness': 0, 'contrast': 0, 'saturation': 0}


@pytest.fixture
def clip(tmp_path):
    """Four frames of a texture that moves 3 px to the right each time."""
    texture = cv2.resize(np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8), (160, 96))
    for number in range(4):
        left = 20 - 3 * number
        cv2.imwrite(str(tmp_path / f'{number}.png'), texture[:SIZE[0], left:left + SIZE[1]])
    return tmp_path


def test_pairs_are_the_same_view_and_say_where_pixels_came_from(clip):
    clips = Clips(Consistency((clip,), SIZE))
    pairs = clips.draw(8, Augmentation((40, 56), **STILL), np.random.default_rng(0))
    assert pairs.before.shape == pairs.now.shape == (8, 40, 56, 3)
    assert pairs.source.shape == (8, 40, 56)
    known = pairs.source >= 0
    assert known[:, 8:-8, 8:-8].float().mean() > 0.9
    for before, now, source, seen in zip(pairs.before, pairs.now, pairs.source, known, strict=True):
        source, seen = source.numpy(), seen.numpy()
        assert np.abs(before.reshape(-1, 3)[source[seen]].astype(int) - now[seen]).mean() < 12
        rows, columns = np.indices(seen.shape)
        assert np.median(columns[seen] - source[seen] % 56) == 3
        assert np.median(rows[seen] - source[seen] // 56) == 0


def test_both_frames_of_a_pair_get_the_same_colours(clip):
    for each in sorted(clip.glob('*.png'))[1:]:
        each.write_bytes((clip / '0.png').read_bytes())
    pairs = Clips(Consistency((clip,), SIZE)).draw(6, Augmentation((40, 56), cast=1.5, corrupt=1.0),
                                                   np.random.default_rng(0))
    np.testing.assert_array_equal(pairs.before, pairs.now)
    assert len({each.mean().round(3) for each in pairs.now}) > 3


def test_the_loss_is_the_squared_distance_of_known_pixels_only():
    before = torch.tensor([[20.0, 0.0], [0.0, 20.0]]).T.reshape(1, 2, 1, 2)  # Surely a, surely b.
    moved = torch.tensor([[[1, 0]]])
    assert consistency_loss(before, before.flip(3), moved, 1).item() == pytest.approx(0, abs=1e-6)
    assert consistency_loss(before, before, moved, 1).item() == pytest.approx(2, abs=1e-6)
    assert consistency_loss(before, before, torch.tensor([[[1, -1]]]), 1).item() == pytest.approx(2, abs=1e-6)
    assert consistency_loss(before, before, torch.tensor([[[-1, -1]]]), 1).item() == 0


def test_every_nth_pixel_is_compared_with_where_it_was_at_full_size():
    scores = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    source = torch.arange(24).reshape(1, 4, 6)
    assert consistency_loss(scores, scores, source, 2).item() == pytest.approx(0, abs=1e-6)
    assert consistency_loss(scores, scores.flip(3), source.flip(2), 2).item() == pytest.approx(0, abs=1e-6)

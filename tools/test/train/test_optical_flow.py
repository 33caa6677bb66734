"""The task optical_flow of the trainer."""
import struct

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from trt_perception.core.errors import ConfigError  # noqa: E402
from trt_perception_tools.train.optical_flow import FlowTask  # noqa: E402

SMALL = {'size': [32, 48], 'batch': 2, 'steps_per_epoch': 2, 'workers': 0, 'validation_size': [32, 48],
         'validation_pairs': 2, 'scenery': {'textures': 3}}


def make_task(**settings):
    torch.manual_seed(0)
    return FlowTask({**SMALL, **settings}, 'recipe.yaml: optical_flow', 7)


def test_batches_depend_on_seed_and_epoch_only():
    one, other = list(make_task().batches(3)), list(make_task().batches(3))
    assert len(one) == 2
    for ours, theirs in zip(one, other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    first, second, flow = one[0]
    assert (first.dtype, first.shape) == (torch.uint8, (2, 32, 48))
    assert (flow.dtype, flow.shape) == (torch.float32, (2, 2, 32, 48))
    assert second.shape == first.shape
    assert not torch.equal(first, next(iter(make_task().batches(4)))[0])


def test_another_process_draws_the_same_batches():
    for ours, theirs in zip(make_task().batches(0), make_task(workers=1).batches(0), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_loss_falls_when_one_batch_is_learnt():
    task = make_task()
    batch = next(iter(task.batches(0)))
    optimiser = torch.optim.AdamW(task.network.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        loss = task.loss(batch)
        optimiser.zero_grad()
        loss['loss'].backward()
        optimiser.step()
        losses.append(float(loss['epe']))
    assert losses[-1] < 0.6 * losses[0]


def test_a_perfect_network_has_no_error_and_unknown_flow_does_not_count(monkeypatch):
    task = make_task()
    first, second, flow = next(iter(task.batches(0)))
    flow[:] = torch.tensor([2., -3]).view(2, 1, 1)
    levels = [flow[:, :, ::step, ::step].clone() for step in (16, 8, 4, 2)]
    monkeypatch.setattr(task.network, 'pyramid', lambda pair: levels)
    assert float(task.loss((first, second, flow))['epe']) < 1e-5
    flow[0, 0, :7] = np.nan
    assert float(task.loss((first, second, flow))['epe']) < 1e-5
    half = flow.clone()
    half[0] += torch.tensor([3., 4]).view(2, 1, 1)
    known = flow[:, 0].isfinite()
    expected = 5 * float(known[0].sum() / known.sum())
    assert float(task.loss((first, second, half))['epe']) == pytest.approx(expected, rel=1e-4)


def test_validation_is_the_mean_error_on_pairs_that_training_never_sees(monkeypatch):
    task = make_task()
    monkeypatch.setattr(task.network, 'forward', lambda pair: torch.zeros(1, 2, 16, 24))
    score = task.validate()
    lengths = [float(flow.square().sum(1).sqrt().mean()) for _, _, flow in task._validation]
    assert score == pytest.approx(np.mean(lengths))
    assert score == task.validate()
    drawn = [first for epoch in range(3) for batch in task.batches(epoch) for first in batch[0]]
    assert not any(torch.equal(first[0], other) for first, *_ in task._validation for other in drawn)


@pytest.fixture
def recorded(tmp_path):
    """A FlyingChairs folder of one pair whose every pixel tells where it is."""
    rows, columns = np.mgrid[:40, :60]
    cv2.imwrite(str(tmp_path / 'a_img1.png'), np.uint8(rows * 4))
    cv2.imwrite(str(tmp_path / 'a_img2.png'), np.uint8(columns * 4))
    flow = np.stack([columns, rows], 2).astype('<f4')
    (tmp_path / 'a_flow.flo').write_bytes(struct.pack('<fii', 202021.25, 60, 40) + flow.tobytes())
    return tmp_path


def test_recorded_pairs_are_cut_at_one_place_in_all_three(recorded):
    task = make_task(recorded=[str(recorded)], recorded_share=1.0)
    places = set()
    for first, second, flow in task.batches(0):
        np.testing.assert_array_equal(first.numpy(), np.uint8(flow[:, 1].numpy() * 4))
        np.testing.assert_array_equal(second.numpy(), np.uint8(flow[:, 0].numpy() * 4))
        places |= {tuple(each[:, 0, 0].tolist()) for each in flow}
    assert len(places) > 1


def test_recorded_pairs_smaller_than_the_cut_are_refused(recorded):
    task = make_task(recorded=[str(recorded)], recorded_share=1.0, size=[48, 48])
    with pytest.raises(ConfigError, match=r'a_flow\.flo: got images and flow of .*at least 48x48'):
        next(iter(task.batches(0)))


def test_images_of_a_folder_serve_as_textures(tmp_path):
    cv2.imwrite(str(tmp_path / 'white.png'), np.full((64, 64, 3), 255, np.uint8))
    with_images, without = (next(iter(make_task(**each).batches(0))) for each in ({'images': [str(tmp_path)]}, {}))
    assert not torch.equal(with_images[0], without[0])


def test_held_out_pairs_have_images_of_their_own(tmp_path):
    cv2.imwrite(str(tmp_path / 'white.webp'), np.full((64, 64, 3), 255, np.uint8))
    pairs = {}
    for name, settings in {'both': {'images': [str(tmp_path)], 'validation_images': [str(tmp_path)]},
                           'training': {'images': [str(tmp_path)]}, 'none': {}}.items():
        task = make_task(**settings)
        task.validate()
        pairs[name] = task._validation[0][0]
    assert torch.equal(pairs['training'], pairs['none'])
    assert not torch.equal(pairs['both'], pairs['none'])


@pytest.mark.parametrize(('settings', 'message'), [
    ({'size': [30, 48]}, r'recipe\.yaml: optical_flow: size: got \(30, 48\), expected multiples of 16'),
    ({'batch': 0}, 'batch: got 0, expected at least 1'),
    ({'scenery': {'layers': [3, 1]}}, r'scenery: layers: got \(3, 1\)'),
    ({'network': 'raft'}, "network: got 'raft', expected one of tinypwc"),
])
def test_a_wrong_field_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_task(**settings)

import numpy as np
import pytest
import torch

from trt_perception.core.data import VOID
from trt_perception_tools.train.segmentation_loss import Loss, class_weights, segmentation_loss


def test_classes_weigh_their_frequency_to_a_power_and_one_in_the_mean():
    labels = [np.array([[0] * 9 + [1] * 3 + [VOID] * 5], np.uint8)]
    weights = class_weights(labels, 2, 0.5)
    assert weights[1] / weights[0] == pytest.approx(3 ** 0.5)
    assert 0.75 * weights[0] + 0.25 * weights[1] == pytest.approx(1)
    assert class_weights(labels, 2, 0.0).tolist() == [1, 1]


def test_the_loss_is_the_weighted_cross_entropy_of_known_pixels():
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, 5, generator=random)
    labels = torch.randint(0, 3, (2, 4, 5), generator=random)
    labels[0, 0] = VOID
    weights = torch.tensor([1.0, 2.0, 0.5])
    each = torch.nn.functional.cross_entropy(scores, labels, weights, ignore_index=VOID, reduction='none')
    expected = each.sum() / (labels != VOID).sum()
    torch.testing.assert_close(segmentation_loss(scores, labels, Loss(), weights)['loss'], expected)
    hardest = each[labels != VOID].sort(descending=True).values[:17]
    torch.testing.assert_close(segmentation_loss(scores, labels, Loss(hardest=0.5), weights)['loss'], hardest.mean())


def test_dice_is_zero_for_perfect_scores_and_counts_classes_alike():
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    labels[0, 0, 0] = 1
    perfect = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2) * 50.0
    some = segmentation_loss(perfect, labels, Loss(dice=1.0), torch.ones(3))
    assert some['dice'] == pytest.approx(0, abs=1e-5)
    perfect[0, :, 0, 0] = torch.tensor([50.0, 0.0, 0.0])  # One pixel of 100, but all of its class.
    missed = segmentation_loss(perfect, labels, Loss(dice=1.0), torch.ones(3))
    assert missed['dice'] == pytest.approx(0.5, abs=0.01)
    assert missed['loss'] == pytest.approx(float(missed['cross_entropy'] + missed['dice']))


def test_a_batch_without_labels_gives_a_loss_of_zero_with_gradients():
    scores = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss = segmentation_loss(scores, torch.full((1, 2, 2), VOID), Loss(dice=1.0), torch.ones(3))['loss']
    loss.backward()
    assert loss == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))

import pytest
import torch

from trt_perception_tools.train.distill import Distillation, Teacher, attention_loss, soft_label_loss


def scores(seed: int) -> torch.Tensor:
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed))


def test_soft_label_loss_is_hintons_divergence_times_the_temperature_squared():
    student, teacher, temperature = scores(0), scores(1), 3.0
    expected = 0.0
    for n in range(2):
        for y in range(3):
            for x in range(5):
                p, q = ((each[n, :, y, x] / temperature).softmax(0) for each in (teacher, student))
                expected += float((p * (p / q).log()).sum()) * 9 / 30
    assert soft_label_loss(student, teacher, temperature) == pytest.approx(expected, rel=1e-5)


def test_soft_label_loss_ignores_what_softmax_ignores():
    assert soft_label_loss(scores(0) + 7, scores(0), 2.0) == pytest.approx(0, abs=1e-6)


def test_attention_loss_compares_where_and_not_what():
    features = scores(2)
    assert attention_loss(features, -3 * features[:, [2, 0, 3, 1]]) == pytest.approx(0, abs=1e-6)
    left, right = torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 8, 8)
    left[..., :2] = 1
    right[..., 4:] = 1
    assert attention_loss(left, right) == pytest.approx(2)
    assert attention_loss(left, right.flip(3)) == pytest.approx(0, abs=1e-6)


def test_the_teacher_gets_its_own_normalisation_and_colour_order():
    teacher = Teacher(torch.nn.Identity(), Distillation({}, None, 'bgr', (1.0, 2.0, 3.0), (2.0, 2.0, 2.0), 1.0), 2)
    levels = torch.tensor([7.0, 12.0, 5.0]).view(1, 3, 1, 1)
    wanted = torch.tensor([2.0, 5.0]).view(1, 2, 1, 1)  # (5 - 1) / 2, (12 - 2) / 2; the third is beyond the classes.
    given, losses = teacher.loss(torch.nn.Identity(), wanted - 4, levels)
    assert torch.equal(given, wanted - 4)
    assert losses['distillation'] == pytest.approx(0, abs=1e-6)

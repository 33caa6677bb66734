"""The trainer, with a task of one weight."""
import json
import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception_tools.train import trainer
from trt_perception_tools.train.recipe import Optimiser, Recipe, Schedule
from trt_perception_tools.train.trainer import Trainer

DRAW_CURVES = trainer.draw_curves


@pytest.fixture(autouse=True)
def no_images(monkeypatch):
    """Drawing takes longer than all the rest of these tests."""
    monkeypatch.setattr(trainer, 'draw_curves', lambda *_: None)


class Line:
    """Learns y = 3 x from batches that depend on seed and epoch."""

    better = 'lower'
    measure = 'error'
    steps_per_epoch = 3

    def __init__(self, scores=(), seed=0):
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.2), nn.Linear(4, 1))
        self.seed = seed
        self.scores = list(scores)
        self.epochs_seen = []

    def batches(self, epoch):
        self.epochs_seen.append(epoch)
        random = torch.Generator().manual_seed(1000 * self.seed + epoch)
        for _ in range(self.steps_per_epoch):
            yield torch.rand(8, 1, generator=random)

    def loss(self, batch):
        return {'loss': (self.network(batch) - 3 * batch).square().mean(), 'largest': batch.max()}

    def validate(self):
        if self.scores:
            return self.scores.pop(0)
        with torch.no_grad():
            return float((self.network(torch.ones(1, 1)) - 3).abs())


def recipe(tmp_path, **fields):
    return Recipe(**{'task': 'segmentation', 'output': tmp_path, 'epochs': 4,
                     'optimiser': Optimiser(learning_rate=0.05), 'ema': 0.5, **fields})


def train_line(tmp_path, task=None, **fields):
    task = task or Line()
    Trainer(task, recipe(tmp_path, **fields), {}).run()
    return task


def weights(folder, name='last.pt', key='network'):
    return torch.load(folder / name, weights_only=True)[key]


def assert_same(some, others):
    assert some.keys() == others.keys()
    for name, value in some.items():
        torch.testing.assert_close(value, others[name], rtol=0, atol=0, msg=name)


class StopHereError(Exception):
    pass


@pytest.mark.parametrize('kind', ['AdamW', 'SGD'])
@pytest.mark.parametrize('shape', ['cosine', 'poly', 'constant'])
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, kind, shape):
    how = {'optimiser': Optimiser(kind, 0.05), 'schedule': Schedule(shape, 0.3)}
    train_line(tmp_path / 'whole', **how)
    task = Line()
    task.validate = lambda: Line.validate(task) if len(task.epochs_seen) < 3 else interrupt()
    with pytest.raises(StopHereError):
        train_line(tmp_path / 'parts', task, **how)
    second = train_line(tmp_path / 'parts', **how)

    assert second.epochs_seen == [2, 3]
    assert_same(weights(tmp_path / 'parts'), weights(tmp_path / 'whole'))
    assert_same(*(weights(tmp_path / each, 'best.pt', 'state_dict') for each in ('parts', 'whole')))
    histories = [json.loads((tmp_path / each / 'history.json').read_text()) for each in ('whole', 'parts')]
    for history in histories:
        for entry in history:
            del entry['seconds']
    assert histories[0] == histories[1]


def interrupt():
    raise StopHereError


def test_a_finished_run_is_not_trained_further(tmp_path):
    train_line(tmp_path)
    before = (tmp_path / 'last.pt').read_bytes()
    assert train_line(tmp_path).epochs_seen == []
    assert (tmp_path / 'last.pt').read_bytes() == before


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        train_line(tmp_path / name, Line(seed=seed), seed=seed)
    assert_same(weights(tmp_path / 'a'), weights(tmp_path / 'b'))
    assert not torch.equal(weights(tmp_path / 'a')['0.weight'], weights(tmp_path / 'c')['0.weight'])


@pytest.mark.parametrize(('better', 'best'), [('lower', 1), ('higher', 2)])
def test_the_best_checkpoint_is_the_one_of_the_best_score(tmp_path, better, best):
    task = Line(scores=[0.5, 0.2, 0.9, 0.4])
    task.better = better
    kept = []
    own = task.validate
    task.validate = lambda: (kept.append({k: v.clone() for k, v in task.network.state_dict().items()}), own())[1]
    train_line(tmp_path, task)
    assert_same(weights(tmp_path, 'best.pt', 'state_dict'), kept[best])
    assert weights(tmp_path, 'best.pt', 'epoch') == best


def test_what_is_validated_is_the_moving_average_and_training_goes_on_from_the_weights(tmp_path):
    train_line(tmp_path / 'averaged', ema=0.9)
    train_line(tmp_path / 'plain', ema=0.0)
    assert_same(weights(tmp_path / 'averaged'), weights(tmp_path / 'plain'))
    averaged = weights(tmp_path / 'averaged', key='average')
    assert not torch.equal(averaged['module.0.weight'], weights(tmp_path / 'plain')['0.weight'])


def test_it_learns_and_writes_the_history(tmp_path):
    train_line(tmp_path, epochs=60, ema=0.0)
    history = json.loads((tmp_path / 'history.json').read_text())
    assert [entry['epoch'] for entry in history] == list(range(60))
    assert history[-1]['loss'] < history[0]['loss'] / 5
    assert 0.5 < history[0]['largest'] <= 1


def test_curves_are_a_image_of_losses_and_score(tmp_path):
    history = [{'epoch': epoch, 'learning_rate': 0.1, 'loss': 1 / (1 + epoch)} for epoch in range(3)]
    history[1]['score'] = 0.5
    DRAW_CURVES(history, 'mIoU', tmp_path / 'curves.png')
    image = cv2.imread(str(tmp_path / 'curves.png'))
    assert image.shape == (320, 800, 3)
    # The score is a dot of matplotlib's first colour in the right half, the loss a line of it in the left.
    blue = np.abs(image.astype(int) - (180, 119, 31)).max(2) < 40
    assert blue[:, :400].sum() > 5 * blue[:, 400:].sum() > 0


def test_the_learning_rate_rises_then_falls_to_the_end(tmp_path):
    train_line(tmp_path, epochs=10, schedule=Schedule('cosine', 0.2))
    rates = [entry['learning_rate'] for entry in json.loads((tmp_path / 'history.json').read_text())]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(0.05)
    assert sorted(rates[2:], reverse=True) == rates[2:]
    # The last epoch begins after 21 of 24 steps of the cosine.
    assert rates[-1] == pytest.approx(0.05 * (1 + math.cos(math.pi * 21 / 24)) / 2)


@pytest.mark.parametrize('shape', ['cosine', 'poly'])
def test_a_shortened_run_comes_to_the_end_of_its_schedule_without_a_jump(tmp_path, shape):
    how = {'schedule': Schedule(shape, 0.1), 'ema': 0.0}
    task = Line()
    task.validate = lambda: 0.5 if len(task.epochs_seen) < 12 else interrupt()
    with pytest.raises(StopHereError):
        train_line(tmp_path, task, epochs=30, **how)
    train_line(tmp_path, epochs=20, **how)
    rates = [entry['learning_rate'] for entry in json.loads((tmp_path / 'history.json').read_text())]
    assert len(rates) == 20
    falls = -np.diff(rates[3:])
    assert (falls > 0).all()
    assert falls.max() < 0.2 * max(rates)
    assert rates[-1] < 0.15 * max(rates)


def test_weight_decay_spares_biases(tmp_path):
    task = Line()
    task.loss = lambda batch: 0 * task.network(batch).sum()
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    train_line(tmp_path, task, epochs=1, optimiser=Optimiser('SGD', 0.1, 0.1, momentum=0.0),
               schedule=Schedule('constant', 0))
    after = task.network.state_dict()
    assert torch.equal(after['0.bias'], before['0.bias'])
    # Three steps, each with learning rate x decay = 1 %.
    torch.testing.assert_close(after['0.weight'], before['0.weight'] * 0.99 ** 3)


def test_a_run_of_another_recipe_is_refused_with_what_differs(tmp_path):
    train_line(tmp_path)
    with pytest.raises(ConfigError, match=r'last\.pt: got a run with another ema, optimiser, expected one of this'):
        train_line(tmp_path, ema=0.1, optimiser=Optimiser(learning_rate=0.1))


def test_a_run_may_be_moved_and_continued_with_other_threads(tmp_path):
    train_line(tmp_path / 'here', threads=1)
    (tmp_path / 'here').rename(tmp_path / 'there')
    assert train_line(tmp_path / 'there', threads=2).epochs_seen == []


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / 'last.pt').write_bytes(b'nothing')
    with pytest.raises(ConfigError, match=r'last\.pt: no checkpoint of this trainer'):
        train_line(tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    task = Line()
    task.loss = lambda batch: task.network(batch).sum() * float('nan')
    with pytest.raises(PerceptionError, match=r'epoch 1, step 1: the loss became nan\. Lower optimiser: learning_rate'):
        train_line(tmp_path, task)


def test_a_step_whose_gradient_is_not_finite_is_skipped_and_counted(tmp_path):
    task = Line()
    learnt, losses = task.loss, []

    def loss(batch):
        losses.append(learnt(batch))
        if len(losses) == 2:  # Finite itself, but the slope of a root at 0 is not.
            losses[-1]['loss'] = losses[-1]['loss'] + (task.network(batch) * 0).sum().sqrt()
        return losses[-1]

    task.loss = loss
    train_line(tmp_path, task, epochs=1)
    assert all(value.isfinite().all() for value in weights(tmp_path).values())
    assert json.loads((tmp_path / 'history.json').read_text())[0]['skipped'] == 1


def test_training_can_start_from_weights(tmp_path):
    train_line(tmp_path / 'first', epochs=1)
    task = Line(seed=5)
    Trainer(task, recipe(tmp_path / 'second', start=tmp_path / 'first' / 'best.pt'), {})
    assert_same(task.network.state_dict(), weights(tmp_path / 'first', 'best.pt', 'state_dict'))


def test_a_part_of_the_network_learns_more_slowly_or_not_at_all(tmp_path):
    task = Line()
    first, last = (task.network[number].weight.detach().clone() for number in (0, 2))
    train_line(tmp_path, task, epochs=1, optimiser=Optimiser('SGD', 0.1, 0.0, 0.0, slower={'0': 0}))
    assert torch.equal(task.network[0].weight, first)
    assert not torch.equal(task.network[2].weight, last)


def test_the_longest_name_decides_how_slowly_a_part_learns(tmp_path):
    network = nn.ModuleDict({'a': nn.ModuleDict({'b': nn.Linear(1, 1), 'c': nn.Linear(1, 1)}), 'ab': nn.Linear(1, 1)})
    task = Line()
    task.network = network
    groups = Trainer(task, recipe(tmp_path, optimiser=Optimiser('SGD', 1.0, slower={'a': 0.5, 'a.b': 0.25})), {}
                     ).optimiser.param_groups
    rates = {id(parameter): group['initial_lr'] for group in groups for parameter in group['params']}
    assert [rates[id(each.weight)] for each in (network['a']['b'], network['a']['c'], network['ab'])] == [.25, .5, 1]

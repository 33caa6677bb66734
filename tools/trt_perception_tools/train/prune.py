"""Remove channels of a trained network and fine-tune it by the recipe (RECIPE) that trained it.

Channels that depend on each other by a sum, a concatenation or a depthwise convolution are removed together, as found
by torch-pruning (DepGraph: Fang et al., CVPR 2023); the least important have the smallest scales of batch normalisation
(network slimming: Liu et al., ICCV 2017). Widths stay multiples of 8; classes stay.

Writes the same files as `train`, and continues an interrupted run; without fine-tuning, it writes pruned.pt. `export`
takes either.
"""
from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import torch
import torch_pruning
from torch import nn

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size

from ..export.describe_network import cost_of_module
from ..graphs.cost import Cost
from ..networks.state_dict import load_state
from ..networks.swiftnet import SwiftNet
from ..networks.weights import read_weights
from .recipe import read_recipe
from .segmentation import SegmentationTask
from .trainer import Trainer, make_task

_MULTIPLE = 8
_LEARNING_RATE = 1 / 3
"""Factor on the recipe's learning rate. With a tenth, mIoU was 9 points lower after 30 steps."""


def prune(network: SwiftNet, ratio: float) -> SwiftNet:
    """Return a copy without a share of the channels of every layer, or more, so that multiples of 8 remain.

    Raises:
        ConfigError: `ratio` is not a share.
    """
    if not 0 <= ratio < 1:
        raise ConfigError(f'ratio: got {ratio}, expected a share of the channels, 0 to below 1, e.g. 0.3.')
    network = copy.deepcopy(network)
    network.keep_width()
    torch_pruning.pruner.BasePruner(
        network, torch.zeros(1, 3, 64, 64), torch_pruning.importance.BNScaleImportance(), pruning_ratio=ratio,
        ignored_layers=[network.logits.conv], round_to=_MULTIPLE, in_channel_groups={}, out_channel_groups={}).step()
    return network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('recipe', type=Path, metavar='RECIPE', help='the recipe of the training, e.g. of tools/configs')
    parser.add_argument('--weights', type=Path, required=True, metavar='FILE', help='best.pt of the training')
    parser.add_argument('--ratio', type=float, default=0.3, help='share of the channels to remove (default: 0.3)')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder to write to')
    parser.add_argument('--epochs', type=int, default=10, metavar='N', help='fine-tuning, 0 = none (default: 10)')
    parser.add_argument('--threads', type=int, metavar='N', help="CPU threads instead of the recipe's")


def execute(args: argparse.Namespace) -> int:
    """Prune, fine-tune, and print costs and scores before and after."""
    changes = {'output': str(args.output), **({} if args.threads is None else {'threads': args.threads})}
    recipe, settings = read_recipe(args.recipe, changes)
    task = make_task(recipe, settings, str(args.recipe))
    network = task.network
    if not isinstance(task, SegmentationTask) or not isinstance(network, SwiftNet):
        raise ConfigError(f'{args.recipe}: network: got {type(network).__name__}, expected SwiftNet, the only one '
                          'that can be pruned.')
    load_state(network, read_weights(args.weights), str(args.weights))
    pruned = prune(network, args.ratio)
    size = task.settings.data.size
    before = _cost(network, size), task.validate()
    task.network = pruned
    after = _cost(pruned, size)
    rows = [('before', *before), ('pruned', after, task.validate())]
    if args.epochs > 0:
        optimiser = replace(recipe.optimiser, learning_rate=_LEARNING_RATE * recipe.optimiser.learning_rate)
        recipe = replace(recipe, epochs=args.epochs, start=None, validate_every=1, optimiser=optimiser)
        # The Trainer continues only a run of the same settings.
        trainer = Trainer(task, recipe, {**settings, 'pruned': {'ratio': args.ratio, 'weights': str(args.weights)}})
        trainer.run()
        assert trainer.best is not None
        rows.append(('fine-tuned', after, trainer.best))
    else:
        recipe.output.mkdir(parents=True, exist_ok=True)
        torch.save({'state_dict': pruned.state_dict()}, recipe.output / 'pruned.pt')
    print(_table(rows, task.measure, size))
    return 0


def _cost(network: nn.Module, size: Size) -> Cost:
    return cost_of_module(network, [torch.zeros(1, 3, *size)])


def _table(rows: list[tuple[str, Cost, float]], measure: str, size: Size) -> str:
    lines = [f'{"at {}x{}".format(*size):10}  parameters  GFLOPs  {measure:>6}']
    lines += [f'{name:10}  {cost.parameters:10,}  {cost.gflops:6.2f}  {score:6.4f}' for name, cost, score in rows]
    return '\n'.join(lines)

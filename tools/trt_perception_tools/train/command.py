"""Train a network by a recipe (CONFIG, YAML) and keep its best weights.

The recipe's `output` folder gets best.pt (weights of the best validation), last.pt (everything needed to resume),
history.json and curves.png. The same command continues an interrupted run; with another number of epochs, the
learning rate falls from its present value to its end at that number.
"""
from __future__ import annotations

import argparse
from pathlib import Path

from .recipe import read_recipe
from .trainer import Trainer, make_task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('config', type=Path, metavar='CONFIG', help='the recipe, e.g. one of tools/configs')
    parser.add_argument('--output', metavar='DIR', help="instead of the recipe's output")
    parser.add_argument('--epochs', type=int, metavar='N', help="instead of the recipe's")
    parser.add_argument('--threads', type=int, metavar='N', help="CPU threads instead of the recipe's")


def execute(args: argparse.Namespace) -> int:
    """Train, and print the path of the weights to export."""
    changes = {name: getattr(args, name) for name in ('output', 'epochs', 'threads') if getattr(args, name) is not None}
    recipe, settings = read_recipe(args.config, changes)
    task = make_task(recipe, settings, str(args.config))
    trainer = Trainer(task, recipe, settings)
    trainer.run()
    print(f'{recipe.output / "best.pt"}: {task.measure} {trainer.best:.4f}')
    return 0

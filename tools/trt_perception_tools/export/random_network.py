"""Networks with random weights, and their YAMLs, to measure speed without a checkpoint."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import Model, load_model
from trt_perception.core.share import share_path
from trt_perception.core.tasks import find_task
from trt_perception.core.yaml_file import yaml_text

from ..import_model.model_card import label_set, labels_text
from ..networks import Network
from .heads import network_inputs

PREFIX = 'random'
_CARDS = (Path(share_path('config', 'models')), Path(__file__).parents[2] / 'configs' / 'models')


def seed_of(text: str) -> int | None:
    """Return the seed of `random` or `random:SEED`; None = the text is something else.

    Raises:
        ConfigError: the seed is not a whole number.
    """
    word, colon, seed = text.partition(':')
    if word != PREFIX:
        return None
    if colon and not seed.isdecimal():
        raise ConfigError(f'--weights {text}: got seed {seed!r}, expected a whole number, e.g. {PREFIX}:1.')
    return int(seed or 0)


def random_module(network: Network, options: Mapping[str, Any], seed: int) -> nn.Module:
    """Return a network with the weights of one seed, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network.build(**options)
        for each in module.modules():
            if isinstance(each, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(each.weight)
    return module


def take_statistics(module: nn.Module, network: Network, model: Model) -> None:
    """Set the statistics of batch normalisation to those of one image of noise.

    Otherwise values shrink or grow from layer to layer, until every pixel has the same label.
    """
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 256, (1, *network.size, network.channels), np.uint8) for _ in model.input.names]
    with torch.no_grad():
        module(torch.cat(network_inputs(images, model.input, 'tensorrt'), 1))
    module.eval()


def write_card(network: Network, options: Mapping[str, Any], module: nn.Module, seed: int, output: Path,
               runtime: str) -> Model:
    """Write the YAML of a random network next to its `output`, and its label set, and return the model."""
    name = ','.join([network.module, *(f'{key}={value}' for key, value in options.items())])
    known = _known_card(network)
    card: dict[str, Any] = {
        'task': network.task,
        'description': f'{name} with RANDOM WEIGHTS (seed {seed}), to measure speed only',
        'license': 'none: the weights are random numbers',
        'files': {runtime: {'fp32': output.name}}}
    output.parent.mkdir(parents=True, exist_ok=True)
    if find_task(network.task).has_labels:
        labels = output.with_name(f'{output.stem}_labels.yaml')
        classes = [f'class {number}' for number in range(_count_outputs(module, network))]
        labels.write_text(labels_text(label_set(classes, labels.stem)))
        card['labels'] = labels.name
    # Exported graphs return px.
    output_fields = {key: value for key, value in known['output'].items() if key != 'flow_scale'}
    card.update(input=known['input'], output=output_fields)
    card.update({key: known[key] for key in ('keep_fp32',) if key in known})
    path = output.with_suffix('.yaml')
    path.write_text(yaml_text(card, sort_keys=False, default_flow_style=None, width=120))
    return load_model(str(path))


def _known_card(network: Network) -> dict[str, Any]:
    """Return a YAML of this network, whose input and output do not depend on its weights."""
    for folder in _CARDS:
        for path in sorted(folder.glob(f'{network.module}*.yaml')):
            return dict(yaml.safe_load(path.read_text()))
    raise ConfigError(f'network {network.module}: no model YAML of it in {" or ".join(map(str, _CARDS))}. Run it from '
                      'a checkout.')


def _count_outputs(module: nn.Module, network: Network) -> int:
    size: Size = (network.multiple, network.multiple)
    with torch.no_grad():
        return int(module(torch.zeros(1, network.channels, *size)).shape[1])

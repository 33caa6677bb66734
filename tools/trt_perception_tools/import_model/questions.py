"""Questions of import-model for data that neither the file nor an option has."""
from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import ONNX, LabelSet

from ..tasks import input_names
from . import model_card
from .importer import Importer
from .interface import Images
from .model_card import Interview, Normalisation, Question
from .output import Output


def ask_size(interview: Interview, images: Images, args: argparse.Namespace) -> Size:
    """Return the (height, width) of the network's image, px."""
    height, width = images.size
    given = None if args.size is None else ' '.join(args.size)
    if height and width:
        if given and model_card.image_size(given) != (height, width):
            raise ConfigError(f'--size: got {given}, but {args.file} is fixed to {height}x{width}. Leave it out.')
        return height, width
    size: Size = interview.ask(Question('--size', 'Height and width of the image that the network sees, px',
                                        model_card.image_size, f'{height or 480} {width or 640}'), given)
    for fixed, got, side in zip(images.size, size, ('height', 'width'), strict=True):
        if fixed not in (None, got):
            raise ConfigError(f'--size: got the {side} {got}, but {args.file} is fixed to {fixed}. Give that one.')
    return size


def ask_colors(interview: Interview, images: Images, args: argparse.Namespace) -> tuple[str, Normalisation]:
    """Return the channel order, and the normalisation if the network does not contain it."""
    colors = ('gray',) if images.channels == 1 else ('rgb', 'bgr')
    color = interview.ask(Question('--color', 'Channel order that the network was trained on: rgb or bgr',
                                   model_card.one_of(colors), 'rgb'),
                          colors[0] if len(colors) == 1 and args.color is None else args.color)
    if images.fed == np.float32:
        return color, model_card.ask_normalisation(interview, color, args.normalise, args.mean, args.std)
    if args.normalise or args.mean or args.std:
        raise ConfigError(f'--normalise, --mean, --std: {args.file} takes bytes and normalises them itself. Leave the '
                          'options out.')
    return color, Normalisation((0.0,) * images.channels, (1.0,) * images.channels)


def ask_fields(interview: Interview, importer: Importer, images: Images, output: Output, name: str, color: str,
                values: Normalisation, args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
    """Return the fields of the model's YAML, and the label set of a task that has one."""
    image: dict[str, Any] = {'names': list(input_names(args.task)), 'color': color}
    if images.fed == np.float32:
        image.update(mean=list(values.mean), std=list(values.std))
    results, labels = importer.ask(interview, output, name, args)
    license = interview.ask(Question('--license', 'Licence of the weights, and of the data they were trained on',
                                     model_card.words('a licence, or "unknown"')), args.license)
    description = interview.ask(Question('--description', 'Description, one line', model_card.words('a line of text'),
                                         f'imported from {args.file.name}', True), args.description)
    fields = {'task': args.task, 'description': description, 'license': license,
              'files': {ONNX: {'fp32': f'{name}.onnx'}},
              **({'labels': _labels_reference(labels, name, args)} if labels else {}),
              'input': image, 'output': results}
    return fields, labels


def _labels_reference(labels: LabelSet, name: str, args: argparse.Namespace) -> str:
    # A shipped label set is named; any other is written next to the model.
    shipped = labels.name if args.class_names is None and labels.name != f'{name}_labels' else ''
    try:
        from_name = model_card.load_labels(shipped) if shipped else None
    except ConfigError:
        from_name = None
    return shipped if from_name == labels else f'{name}_labels.yaml'

"""Writes the YAML of a model, and of its label set, from answers: options of a command, or typed answers.

Knows the fields of config/models and config/labels, but no networks.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import CHANNELS, LabelClass, LabelSet, load_labels
from trt_perception.core.yaml_file import yaml_text

from ..sizes import parse_sizes

T = TypeVar('T')
_MOST_CLASSES = 255
"""255 itself means "no class"."""


class Normalisation(NamedTuple):
    """Normalisation of grey levels 0..255: (level - mean) / std, per channel in the network's colour order."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


# In RGB order; one number = the same for every channel.
PRESETS = {
    # Statistics of ImageNet that torchvision's and most published networks use, times 255.
    'imagenet': Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # Means of ImageNet that Caffe's networks subtract, most often in BGR.
    'caffe': Normalisation((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    # Grey levels become 0..1.
    'unit': Normalisation((0.0,), (255.0,)),
    # -1..1.
    'signed': Normalisation((127.5,), (127.5,)),
    # They stay 0..255.
    'none': Normalisation((0.0,), (1.0,)),
}
CUSTOM = 'custom'


class Question(NamedTuple):
    """A property that cannot be read from a network."""

    option: str
    """Option of the command that answers it."""
    text: str
    parse: Callable[[str], Any]
    """Text -> answer; a ValueError has the expected form."""
    default: str = ''
    """Offered on a terminal."""
    assumed: bool = False
    """Whether the default is also used without a terminal, because a wrong value does no harm."""


class Interview:
    """Answers questions by options, and asks the others on the terminal."""

    def __init__(self, terminal: bool | None = None) -> None:
        self._terminal = sys.stdin.isatty() if terminal is None else terminal
        self._greeted = False

    def ask(self, question: Question, given: str | Sequence[str] | None) -> Any:
        """Return the answer.

        Args:
            given: the option's value or words; None when the option was not given.

        Raises:
            ConfigError: the option's value is wrong, or it is missing and there is no terminal.
        """
        if given is not None:
            text = given if isinstance(given, str) else ' '.join(given)
            try:
                return question.parse(text)
            except ValueError as error:
                raise ConfigError(f'{question.option}: got {text!r}, expected {error}.') from error
        if not self._terminal:
            if question.assumed:
                return question.parse(question.default)
            raise ConfigError(f'{question.option}: missing, and there is no terminal to ask on: {question.text}? Give '
                              f'{question.option}.')
        return self._asked(question)

    def _asked(self, question: Question) -> Any:
        if not self._greeted:
            print('What the file does not say. Enter alone takes the answer in [brackets].')
            self._greeted = True
        prompt = f'{question.text}{f" [{question.default}]" if question.default else ""}: '
        while True:
            try:
                answer = input(prompt).strip() or question.default
            except EOFError as error:
                raise ConfigError(f'{question.option}: the input ended before the answer. Give {question.option}.'
                                  ) from error
            try:
                return question.parse(answer)
            except ValueError as error:
                print(f'  Got {answer!r}, expected {error}.')


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return a parser that takes one of some words."""
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError('one of ' + ', '.join(choices))
        return text
    return parse


def words(expected: str) -> Callable[[str], str]:
    """Return a parser that takes any text but none."""
    def parse(text: str) -> str:
        if not text.strip():
            raise ValueError(expected)
        return ' '.join(text.split())
    return parse


def numbers(count: int, positive: bool = False) -> Callable[[str], tuple[float, ...]]:
    """Return a parser that takes `count` numbers, or one for all of them."""
    def parse(text: str) -> tuple[float, ...]:
        expected = f'{count} number{"s" if count > 1 else ""}{" above 0" if positive else ""}'
        try:
            values = tuple(float(word) for word in text.replace(',', ' ').split())
        except ValueError:
            raise ValueError(expected) from None
        values = values * count if len(values) == 1 else values
        if len(values) != count or not np.isfinite(values).all() or (positive and min(values) <= 0):
            raise ValueError(expected)
        return values
    return parse


def image_size(text: str) -> tuple[int, int]:
    """Parse a height and a width, px: 480 640 or 480x640."""
    sizes = parse_sizes([text])
    if len(sizes) > 1 or min(sizes[0]) < 8:
        raise ValueError('a height and a width of at least 8 px, e.g. 360 480')
    return sizes[0]


def flow_scale(text: str) -> float:
    """Parse a number, or a quotient such as 1/4.554."""
    dividend, _, divisor = text.partition('/')
    try:
        scale = float(dividend) / float(divisor or 1)
    except (ValueError, ZeroDivisionError):
        scale = 0.0
    if scale == 0 or not np.isfinite(scale):
        raise ValueError('a number other than 0, or a quotient such as 1/4.5')
    return scale


def _mean(count: int) -> Callable[[str], tuple[float, ...]]:
    def parse(text: str) -> tuple[float, ...]:
        values = numbers(count)(text)
        if max(values) < 1 and any(values):
            raise ValueError('grey levels of 0..255, not of 0..1. Times 255 these are '
                             + ' '.join(f'{255 * each:g}' for each in values) + ', and the std likewise')
        return values
    return parse


def _std(count: int) -> Callable[[str], tuple[float, ...]]:
    def parse(text: str) -> tuple[float, ...]:
        values = numbers(count, positive=True)(text)
        if min(values) < 1:
            raise ValueError('grey levels of 0..255, at least 1. Of 0..1, times 255 these are '
                             + ' '.join(f'{255 * each:g}' for each in values) + '; as factors, divided by, '
                             + ' '.join(f'{1 / each:.4g}' for each in values))
        return values
    return parse


def ask_normalisation(interview: Interview, color: str, preset: str | None, mean: Sequence[str] | None,
                      std: Sequence[str] | None) -> Normalisation:
    """Return the normalisation of grey levels: a preset, or mean and standard deviation.

    Raises:
        ConfigError: as `Interview.ask`; both a preset and numbers.
    """
    channels = CHANNELS[color]
    if preset is not None and (mean is not None or std is not None):
        raise ConfigError('--normalise: got --mean or --std as well, expected one or the other. Leave one of them out.')
    if mean is None and std is None:
        names = [name for name, values in PRESETS.items() if len(values.mean) == 1 or channels == 3]
        text = f'Grey levels as {", ".join(names)} (unit: 0..1, signed: -1..1, none: 0..255) or {CUSTOM}'
        chosen = interview.ask(Question('--normalise or --mean and --std', text, one_of([*names, CUSTOM]),
                                        'imagenet' if channels == 3 else 'unit'), preset)
        if chosen != CUSTOM:
            values = PRESETS[chosen]
            order = -1 if color == 'bgr' else 1
            return Normalisation(*((each * channels)[:channels][::order] for each in values))
    return Normalisation(
        interview.ask(Question('--mean', f'Mean of each channel, {color}, grey levels 0..255', _mean(channels)), mean),
        interview.ask(Question('--std', 'Standard deviation of each channel, grey levels',
                               _std(channels)), std))


def read_label_set(text: str, stem: str) -> LabelSet:
    """Return a label set: a name of config/labels, a YAML, or class names in a JSON or text file.

    Raises:
        ValueError: `text` is none of these; the message has the reason.
    """
    path = Path(text).expanduser()
    if path.suffix not in ('.yaml', '.yml') and path.is_file():
        try:
            content = path.read_text(encoding='utf-8')
        except (UnicodeDecodeError, OSError):
            raise ValueError('a text file with one class name per line') from None
        return label_set(class_names([content] if path.suffix == '.json' else
                                     [line.strip() for line in content.splitlines() if line.strip()]), stem)
    try:
        return load_labels(text)
    except ConfigError as error:
        raise ValueError('a label set, or a text file with one class name per line: '
                         f'{str(error).rstrip(".")}') from None


def class_names(given: Sequence[str]) -> list[str]:
    """Return class names in common notations: words, one text with commas, a JSON list, or {"0": "road", ...}.

    Raises:
        ValueError: a JSON is neither, or its ids are not 0, 1, 2 ...
    """
    text = ' '.join(given).strip()
    if text[:1] in ('[', '{'):
        try:
            value = json.loads('\n'.join(given))
        except ValueError as error:
            raise ValueError(f'a JSON list of names, or of ids and names: {error}') from None
        if isinstance(value, dict):
            value = value.get('id2label', value)
            try:
                value = {int(key): name for key, name in value.items()}
            except (AttributeError, ValueError):
                raise ValueError('a JSON of ids and names, e.g. {"0": "road", "1": "sky"}') from None
            if sorted(value) != list(range(len(value))):
                raise ValueError(f'the ids 0 to {len(value) - 1}, each with a name') from None
            value = [value[number] for number in range(len(value))]
        if not all(isinstance(each, str) for each in value):
            raise ValueError('a JSON list of names') from None
        return list(value)
    if len(given) == 1 and ',' in text or all(each.endswith(',') for each in given[:-1]) and given[1:]:
        return [name.strip() for name in text.split(',') if name.strip()]
    return list(given)


def label_set(names: Sequence[str], stem: str) -> LabelSet:
    """Return a label set of names, with ids 0, 1, 2 ... and colours that depend only on the id.

    Raises:
        ValueError: no names, too many, or one twice.
    """
    if not 1 <= len(names) <= _MOST_CLASSES or len(set(names)) < len(names):
        raise ValueError(f'1 to {_MOST_CLASSES} different class names')
    return LabelSet(stem, tuple(LabelClass(number, name, class_color(number)) for number, name in enumerate(names)))


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of PASCAL VOC's colour map for class_id + 1: neighbours differ, and none is black."""
    color = [0, 0, 0]
    rest = (class_id + 1) % 256
    for bit in range(7, -1, -1):
        for channel in range(3):
            color[channel] |= (rest >> channel & 1) << bit
        rest >>= 3
    return color[0], color[1], color[2]


def labels_text(labels: LabelSet) -> str:
    """Return the YAML of a label set, as config/labels has it."""
    entries = [{'id': each.id, 'name': each.name, 'color': list(each.color)} for each in labels.classes]
    lines = [yaml_text(entry, sort_keys=False, default_flow_style=True, width=10_000, allow_unicode=True).strip()
             for entry in entries]
    return 'classes:\n' + ''.join(f'  - {line}\n' for line in lines)


def card_text(card: dict[str, Any], source: str) -> str:
    """Return the YAML of a model, as config/models has it."""
    lines = yaml_text(card, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return f'# Written by trt_perception_tools import-model from {source}.\n{lines}'

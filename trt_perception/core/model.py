"""Models and label sets as data: reads and checks config/models/*.yaml and config/labels/*.yaml.

A model is a network plus how to feed and read it. Nothing here opens the network itself.
"""
import difflib
import glob
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import yaml

from .data import VOID
from .errors import ConfigError
from .share import share_path

SEGMENTATION = 'segmentation'
OPTICAL_FLOW = 'optical_flow'
TASKS = (SEGMENTATION, OPTICAL_FLOW)
PRECISIONS = ('fp32', 'fp16', 'bf16', 'int8')
CHANNELS = {'rgb': 3, 'bgr': 3, 'gray': 1}


class LabelClass(NamedTuple):
    """One class of a label set."""

    id: int
    name: str
    color: Tuple[int, int, int]
    """RGB, 0..255."""


class LabelSet(NamedTuple):
    """What the ids of a label map mean."""

    name: str
    classes: Tuple[LabelClass, ...]


class ModelInput(NamedTuple):
    """How a picture becomes the network's input.

    A float input gets `(grey level - mean) / std` per channel; a uint8 input gets the grey levels themselves
    (the network then normalises inside its graph).
    """

    names: Tuple[str, ...]
    """(image,) for segmentation; (first, second) for flow, which points from `first` to `second`."""
    color: str
    """Channel order the network wants: rgb, bgr or gray."""
    mean: np.ndarray
    """(C,) float32, grey levels 0..255, in the order of `color`."""
    std: np.ndarray
    """(C,) float32, likewise."""


class ModelOutput(NamedTuple):
    """Names of the network's outputs; a field is None where the task or the network has no such output."""

    labels: Optional[str] = None
    confidence: Optional[str] = None
    flow: Optional[str] = None
    flow_scale: float = 1.0
    """Network output times this = px of the network's input."""


class Model(NamedTuple):
    """One file of config/models."""

    name: str
    path: str
    task: str
    description: str
    license: str
    files: Dict[str, Dict[str, str]]
    """Back-end -> precision -> network file, as written in the YAML."""
    input: ModelInput
    output: ModelOutput
    labels: Optional[LabelSet]

    def network_file(self, backend: str, precision: str) -> str:
        """Return the path of the network for a back-end and a precision.

        Raises:
            ConfigError: the model has no such network, or its file is missing.
        """
        by_precision = self.files.get(backend)
        if by_precision is None:
            raise ConfigError('{}: files: no network for engine {!r}, only for {}. Choose one of those with the '
                              'parameter engine.'.format(self.path, backend, ', '.join(sorted(self.files))))
        if precision not in by_precision:
            raise ConfigError('{}: files.{}: no {} network, only {}. Choose one of those with the parameter '
                              'precision.'.format(self.path, backend, precision, ', '.join(sorted(by_precision))))
        name = by_precision[precision]
        beside = os.path.join(os.path.dirname(self.path), os.path.expanduser(name))
        shipped = share_path('models', name)
        for path in (beside, shipped):
            if os.path.isfile(path):
                return path
        raise ConfigError('{}: files.{}.{}: {} is neither beside the YAML nor in {}. Run `make models` in the '
                          'source checkout to make it, or point the YAML to the file.'.format(
                              self.path, backend, precision, name, os.path.dirname(shipped)))


class _Fields:
    """The mapping at one place of a YAML file: hands out checked values, then refuses what nobody asked for."""

    def __init__(self, where: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigError('{}: got {}, expected a mapping of fields.'.format(where, _show(values)))
        self.where = where
        self.values = dict(values)
        self.known: List[str] = []

    def error(self, key: str, value: Any, expected: str) -> ConfigError:
        return ConfigError('{}: {}: got {}, expected {}.'.format(self.where, key, _show(value), expected))

    def take(self, key: str, kind: Any, expected: str, default: Any = None) -> Any:
        self.known.append(key)
        if key not in self.values:
            if default is not None:
                return default
            close = difflib.get_close_matches(key, [str(name) for name in self.values], 1)
            hint = ' Is that what {!r} was to be?'.format(close[0]) if close else ''
            raise ConfigError('{}: {}: missing, expected {}.{}'.format(self.where, key, expected, hint))
        value = self.values.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, value, expected)
        return value

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        expected = 'one of ' + ', '.join(allowed)
        value = self.take(key, str, expected)
        if value not in allowed:
            raise self.error(key, value, expected)
        return value

    def numbers(self, key: str, count: int, default: float) -> np.ndarray:
        expected = '{} finite number{}'.format(count, 's' if count > 1 else '')
        values = self.take(key, list, 'a list of ' + expected, [default] * count)
        if len(values) != count or not all(_is_number(v) for v in values):
            raise self.error(key, values, 'a list of ' + expected)
        return np.array(values, np.float32)

    def section(self, key: str) -> '_Fields':
        return _Fields('{}: {}'.format(self.where, key), self.take(key, dict, 'a mapping of fields'))

    def done(self) -> None:
        for key in self.values:
            raise ConfigError('{}: unknown field {!r}{} Known: {}.'.format(
                self.where, key, did_you_mean(str(key), self.known), ', '.join(self.known)))


def load_model(name: str) -> Model:
    """Read a model by name (a file of config/models) or by the path of a YAML.

    Raises:
        ConfigError: no such model, or a field is missing, unknown or wrong; the text names file and field.
    """
    path = _find('models', name)
    fields = _Fields(path, _read_yaml(path))
    task = fields.choice('task', TASKS)
    model = Model(
        name=os.path.splitext(os.path.basename(path))[0],
        path=path,
        task=task,
        description=fields.take('description', str, 'a line of text'),
        license=fields.take('license', str, 'the licence of the weights'),
        files=_files(fields.section('files')),
        input=_input(fields.section('input'), 1 if task == SEGMENTATION else 2),
        output=_output(fields.section('output'), task),
        labels=load_labels(fields.take('labels', str, 'a name in config/labels'), os.path.dirname(path))
        if task == SEGMENTATION else None)
    fields.done()
    return model


def load_labels(name: str, beside: str = '') -> LabelSet:
    """Read a label set by name (a file of config/labels) or by a path, which may be relative to `beside`.

    Raises:
        ConfigError: as `load_model`.
    """
    path = _find('labels', name, beside)
    fields = _Fields(path, _read_yaml(path))
    classes: List[LabelClass] = []
    for number, entry in enumerate(fields.take('classes', list, 'a list of {id, name, color}')):
        each = _Fields('{}: classes[{}]'.format(path, number), entry)
        class_id = each.take('id', int, 'an integer 0..254')
        if not 0 <= class_id < VOID:
            raise each.error('id', class_id, 'an integer 0..254 (255 means "no class")')
        if class_id in [c.id for c in classes]:
            raise each.error('id', class_id, 'an id that no other class has')
        color = each.take('color', list, '[red, green, blue], 0..255')
        if len(color) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in color):
            raise each.error('color', color, '[red, green, blue], 0..255')
        classes.append(LabelClass(class_id, each.take('name', str, 'a name'), (color[0], color[1], color[2])))
        each.done()
    fields.done()
    if not classes:
        raise fields.error('classes', classes, 'at least one class')
    return LabelSet(os.path.splitext(os.path.basename(path))[0], tuple(classes))


def model_names() -> List[str]:
    """Return the names of the models in config/models, sorted."""
    return _names('models')


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ' Did you mean ...?' when a known word is close, else '.': the end of an error message."""
    close = difflib.get_close_matches(word, list(known), 1)
    return '. Did you mean {!r}?'.format(close[0]) if close else '.'


def _names(kind: str) -> List[str]:
    return sorted(os.path.splitext(os.path.basename(p))[0] for p in glob.glob(share_path('config', kind, '*.yaml')))


def _find(kind: str, name: str, beside: str = '') -> str:
    if os.sep in name or name.endswith(('.yaml', '.yml')):
        path = os.path.join(beside, os.path.expanduser(name))
        if not os.path.isfile(path):
            raise ConfigError('{}: no such file. Give an existing YAML, or one of the names {}.'.format(
                path, ', '.join(_names(kind))))
        return path
    path = share_path('config', kind, name + '.yaml')
    if not os.path.isfile(path):
        raise ConfigError('config/{}: no {!r}{} There are: {}. A path to your own YAML works too.'.format(
            kind, name, did_you_mean(name, _names(kind)), ', '.join(_names(kind))))
    return path


def _read_yaml(path: str) -> Any:
    try:
        with open(path, encoding='utf-8') as file:
            return yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError('{}: not valid YAML: {}'.format(path, error)) from error


def _files(fields: _Fields) -> Dict[str, Dict[str, str]]:
    # Back-end names are checked where they are used: this layer does not know which inference runtimes exist.
    files = {}
    for backend in fields.values:
        by_precision = _Fields('{}.{}'.format(fields.where, backend), fields.values[backend])
        files[str(backend)] = {precision: by_precision.take(precision, str, 'a file name')
                               for precision in PRECISIONS if precision in by_precision.values}
        by_precision.known = list(PRECISIONS)
        by_precision.done()
    return files


def _input(fields: _Fields, count: int) -> ModelInput:
    names = fields.take('names', list, 'a list of input names')
    if len(names) != count or not all(isinstance(n, str) for n in names) or len(set(names)) != count:
        raise fields.error('names', names, 'a list of {} different input name{}'.format(count, 's' * (count > 1)))
    color = fields.choice('color', tuple(CHANNELS))
    mean = fields.numbers('mean', CHANNELS[color], 0.0)
    std = fields.numbers('std', CHANNELS[color], 1.0)
    if not (std > 0).all():
        raise fields.error('std', std.tolist(), 'numbers above 0')
    fields.done()
    return ModelInput(tuple(names), color, mean, std)


def _output(fields: _Fields, task: str) -> ModelOutput:
    confidence = fields.take('confidence', str, 'the name of the confidence output', '') or None
    if task == SEGMENTATION:
        output = ModelOutput(labels=fields.take('labels', str, 'the name of the label output'), confidence=confidence)
    else:
        scale = fields.take('flow_scale', (int, float), 'a number', 1.0)
        if not _is_number(scale) or scale == 0:
            raise fields.error('flow_scale', scale, 'a finite number other than 0')
        output = ModelOutput(flow=fields.take('flow', str, 'the name of the flow output'), confidence=confidence,
                             flow_scale=float(scale))
    fields.done()
    return output


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _show(value: Any) -> str:
    return repr(value) if len(repr(value)) < 80 else repr(value)[:77] + '...'

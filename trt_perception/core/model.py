"""Models and label sets as data: reads and checks config/models/*.yaml and config/labels/*.yaml.

A model is a network plus how to feed and read it. Nothing here opens the network itself.
"""
import glob
import math
import os
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from .data import VOID
from .errors import ConfigError, did_you_mean
from .fields import Fields, is_number
from .share import share_path
from .tasks import TASKS, Task
from .yaml_file import read_yaml

PRECISIONS = ('fp32', 'fp16', 'bf16', 'int8')
CHANNELS = {'rgb': 3, 'bgr': 3, 'gray': 1}
_NETWORKS = ('.onnx', '.tflite', '.pb', '.engine', '.plan', '.trt', '.pt', '.pth', '.h5')
"""Suffixes of network files, which users pass by mistake instead of a model."""
ONNX = 'onnx'
"""Key in `files` of networks for all back-ends that read ONNX and have no entry of their own."""


class LabelClass(NamedTuple):
    """One class of a label set."""

    id: int
    name: str
    color: Tuple[int, int, int]
    """RGB, 0..255."""


class LabelSet(NamedTuple):
    """The classes of a label map by id."""

    name: str
    classes: Tuple[LabelClass, ...]


class ModelInput(NamedTuple):
    """How an image becomes the network's input.

    A float input gets `(grey level - mean) / std` per channel; a uint8 input gets the grey levels themselves
    (the network then normalises inside its graph).
    """

    names: Tuple[str, ...]
    """(image,) for segmentation; (first, second) for flow, which points from `first` to `second`."""
    color: str
    """Channel order of the network: rgb, bgr or gray."""
    mean: np.ndarray
    """(C,) float32, grey levels 0..255, in the order of `color`."""
    std: np.ndarray
    """(C,) float32, likewise."""


class ModelOutput(NamedTuple):
    """Names of the network's outputs, by their names in the table of tasks."""

    names: Dict[str, str]
    """E.g. {'labels': 'labels', 'confidence': 'conf'}; outputs that the network lacks are missing."""
    numbers: Dict[str, float] = {}
    """E.g. {'flow_scale': 1.0}, by name."""

    @property
    def labels(self) -> Optional[str]:
        """Name of the output with the class of every pixel, or None."""
        return self.names.get('labels')

    @property
    def confidence(self) -> Optional[str]:
        """Name of the output with the confidence of that class, or None."""
        return self.names.get('confidence')

    @property
    def flow(self) -> Optional[str]:
        """Name of the output with the flow field, or None."""
        return self.names.get('flow')

    @property
    def flow_scale(self) -> float:
        """Network output times this = px of the network's input."""
        return self.numbers.get('flow_scale', 1.0)


class Model(NamedTuple):
    """One file of config/models."""

    name: str
    path: str
    task: str
    description: str
    license: str
    files: Dict[str, Dict[str, str]]
    """Back-end, or ONNX -> precision -> network file, as written in the YAML."""
    input: ModelInput
    output: ModelOutput
    labels: Optional[LabelSet]
    sha256: Dict[str, str] = {}
    """File name -> digest, of networks and their weights; a file that differs is refused."""
    precision_loss: Mapping[str, float] = {}
    """Precision -> measured loss compared with FP32, points of mean IoU or per cent of the EPE; infinity if it was not
    measured."""
    keep_fp32: Tuple[str, ...] = ()
    """Layers whose name contains one of these stay in FP32 when the others become FP16, BF16 or INT8."""

    def networks(self, backend: str, format: str = ONNX) -> Dict[str, str]:
        """Return precision -> network file, as written in the YAML, for a back-end; {} when there is none.

        Args:
            format: the entry to use if the back-end has none of its own; '' = none.
        """
        return self.files.get(backend) or self.files.get(format) or {}

    def network_file(self, backend: str, precision: str, format: str = ONNX) -> str:
        """Return the path of the network for a back-end and a precision.

        Args:
            format: as for `networks`.

        Raises:
            ConfigError: the model has no such network, or its file is missing.
        """
        by_precision = self.networks(backend, format)
        key = backend if self.files.get(backend) else format
        if not by_precision:
            raise ConfigError('{}: files: no network for engine {!r}, only for {}. Add one, or set the parameter '
                              'engine to another.'.format(self.path, backend, ', '.join(sorted(self.files))))
        if precision not in by_precision:
            raise ConfigError('{}: files.{}: no {} network, only {}. Choose one of those with the parameter '
                              'precision.'.format(self.path, key, precision, ', '.join(sorted(by_precision))))
        name = by_precision[precision]
        beside = os.path.join(os.path.dirname(self.path), os.path.expanduser(name))
        shipped = share_path('models', name)
        for path in (beside, shipped):
            if os.path.isfile(path):
                return path
        raise ConfigError('{}: files.{}.{}: {} is neither beside the YAML nor in {}. Run `make models` in the '
                          'source checkout to make it, or point the YAML to the file.'.format(
                              self.path, key, precision, name, os.path.dirname(shipped)))


def load_model(name: str) -> Model:
    """Read a model by name (a file of config/models) or by the path of a YAML.

    Raises:
        ConfigError: no such model, or a field is missing, unknown or wrong; the text names file and field.
    """
    if name.endswith(_NETWORKS):
        raise ConfigError('{}: got a network, expected a model: a YAML that says how to feed and read one. Make '
                          'both with `trt_perception_tools import-model {} --task {} --output DIR`, and give '
                          'DIR/{}.yaml.'.format(
                              name, name, '|'.join(TASKS), os.path.splitext(os.path.basename(name))[0]))
    path = _find('models', name)
    fields = Fields(path, read_yaml(path))
    name = fields.choice('task', tuple(TASKS))
    task = TASKS[name]
    model = Model(
        name=os.path.splitext(os.path.basename(path))[0],
        path=path,
        task=name,
        description=fields.take('description', str, 'a line of text'),
        license=fields.take('license', str, 'the licence of the weights'),
        files=_files(fields.section('files')),
        input=_input(fields.section('input'), task.images),
        output=_output(fields.section('output'), task),
        labels=load_labels(fields.take('labels', str, 'a name in config/labels'), os.path.dirname(path))
        if task.has_labels else None,
        sha256=fields.digests('sha256'),
        precision_loss=_precision_loss(fields.section('precision_loss', {})),
        keep_fp32=fields.texts('keep_fp32', 'a list of parts of layer names'))
    fields.done()
    return model


def load_labels(name: str, beside: str = '') -> LabelSet:
    """Read a label set by name (a file of config/labels) or by a path, which may be relative to `beside`.

    Raises:
        ConfigError: as `load_model`.
    """
    path = _find('labels', name, beside)
    fields = Fields(path, read_yaml(path))
    classes: List[LabelClass] = []
    for number, entry in enumerate(fields.take('classes', list, 'a list of {id, name, color}')):
        each = Fields('{}: classes[{}]'.format(path, number), entry)
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


def _files(fields: Fields) -> Dict[str, Dict[str, str]]:
    # Back-end names are checked where they are used, because this layer does not know the inference runtimes.
    files = {}
    for backend in fields.values:
        by_precision = Fields('{}.{}'.format(fields.where, backend), fields.values[backend])
        files[str(backend)] = {precision: by_precision.take(precision, str, 'a file name')
                               for precision in PRECISIONS if precision in by_precision.values}
        by_precision.known = list(PRECISIONS)
        by_precision.done()
    return files


def _precision_loss(fields: Fields) -> Dict[str, float]:
    losses = {}
    for precision in PRECISIONS:
        losses[precision] = fields.take(precision, (int, float), 'a number', math.inf)
        if not losses[precision] >= 0:
            raise fields.error(precision, losses[precision], 'a number from 0')
    fields.done()
    return losses


def _input(fields: Fields, count: int) -> ModelInput:
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


def _output(fields: Fields, task: Task) -> ModelOutput:
    names = {role: fields.take(role, str, 'the name of the {} output'.format(role))
             for role in task.outputs}
    for role in task.optional_outputs:
        name = fields.take(role, str, 'the name of the {} output'.format(role), '')
        if name:
            names[role] = name
    numbers = {}
    for key, default in task.numbers.items():
        number = fields.take(key, (int, float), 'a number', default)
        if not is_number(number) or number == 0:
            raise fields.error(key, number, 'a finite number other than 0')
        numbers[key] = float(number)
    fields.done()
    return ModelOutput(names, numbers)

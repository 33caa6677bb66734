import os
import shutil

import networks
import numpy as np
import pytest

from trt_perception.core.errors import ConfigError, did_you_mean
from trt_perception.core.model import LabelClass, load_labels, load_model, model_names
from trt_perception.core.share import share_path
from trt_perception.core.tasks import TASKS

GONE = object()
NAMES = ', '.join(TASKS)


def changed(fields, place, value):
    """Return fields with the value at one place, a path of keys, replaced or removed."""
    at = fields
    for key in place[:-1]:
        at = at[key]
    if value is GONE:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return fields


def error_of(call, *args):
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return str(caught.value)


# What is right.

def test_a_segmentation_model_holds_what_its_yaml_says(tmp_path):
    fields = networks.segmentation_fields()
    fields['input'].update(color='bgr', mean=[1, 2.5, 3], std=[4, 5, 6.5])
    path = networks.write_model(tmp_path, fields)
    model = load_model(path)
    assert (model.name, model.path, model.task) == ('tiny', path, 'segmentation')
    assert (model.description, model.license) == ('brightest channel', 'none')
    assert model.files == {'onnxruntime': {'fp32': 'tiny.onnx'}}
    assert (model.input.names, model.input.color) == (('image',), 'bgr')
    assert model.input.mean.dtype == model.input.std.dtype == np.float32
    assert model.input.mean.tolist() == [1, 2.5, 3]
    assert model.input.std.tolist() == [4, 5, 6.5]
    assert (model.output.labels, model.output.confidence, model.output.flow) == ('labels', 'confidence', None)
    assert model.labels.name == 'tiny_labels'
    assert model.labels.classes == (LabelClass(0, 'reddish', (255, 0, 0)), LabelClass(1, 'greenish', (0, 255, 0)),
                                    LabelClass(2, 'bluish', (0, 0, 255)))


def test_an_optical_flow_model_holds_what_its_yaml_says(tmp_path):
    fields = networks.flow_fields()
    fields['output']['flow_scale'] = 20
    fields['input'].update(mean=[128], std=[64])
    model = load_model(networks.write_model(tmp_path, fields))
    assert model.task == 'optical_flow'
    assert model.input.names == ('first', 'second')
    assert (model.input.mean.tolist(), model.input.std.tolist()) == ([128], [64])
    assert (model.output.labels, model.output.confidence, model.output.flow) == (None, None, 'flow')
    assert model.output.flow_scale == 20.0
    assert isinstance(model.output.flow_scale, float)
    assert model.labels is None


def test_fields_that_may_be_left_out_have_neutral_defaults(tmp_path):
    fields = networks.segmentation_fields()
    del fields['input']['mean'], fields['input']['std'], fields['output']['confidence']
    model = load_model(networks.write_model(tmp_path, fields))
    assert model.input.mean.tolist() == [0, 0, 0]
    assert model.input.std.tolist() == [1, 1, 1]
    assert model.output.confidence is None
    assert load_model(networks.write_model(tmp_path, networks.flow_fields())).output.flow_scale == 1.0


def test_a_model_is_found_by_name_and_by_path():
    path = share_path('config', 'models', 'espnet_camvid.yaml')
    assert load_model('espnet_camvid').path == path
    assert load_model(path).name == 'espnet_camvid'


def test_model_names_are_the_files_of_config_models():
    names = [os.path.splitext(name)[0] for name in sorted(os.listdir(share_path('config', 'models')))]
    assert model_names() == names
    assert 'espnet_camvid' in names


def test_a_label_set_is_found_beside_the_model_or_by_name(tmp_path):
    (tmp_path / 'deeper').mkdir()
    fields = dict(networks.segmentation_fields(), labels='deeper/mine.yaml')
    networks.write_yaml(tmp_path / 'deeper' / 'mine.yaml', {'classes': [{'id': 7, 'name': 'x', 'color': [1, 2, 3]}]})
    model = load_model(networks.write_model(tmp_path, fields))
    assert model.labels.name == 'mine'
    assert model.labels.classes == (LabelClass(7, 'x', (1, 2, 3)),)
    fields['labels'] = 'camvid'
    assert load_model(networks.write_model(tmp_path, fields)).labels == load_labels('camvid')


def test_the_network_file_is_taken_beside_the_yaml_before_the_shipped_one(tmp_path):
    fields = networks.segmentation_fields()
    fields['files'] = {'onnxruntime': {'fp32': 'swiftnet_camvid.onnx'}}
    model = load_model(networks.write_model(tmp_path, fields))
    assert model.network_file('onnxruntime', 'fp32') == share_path('models', 'swiftnet_camvid.onnx')
    (tmp_path / 'swiftnet_camvid.onnx').write_text('mine')
    assert model.network_file('onnxruntime', 'fp32') == str(tmp_path / 'swiftnet_camvid.onnx')


def test_a_network_file_may_be_an_absolute_path(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    network = tmp_path / 'elsewhere' / 'net.onnx'
    network.write_text('')
    fields = changed(networks.segmentation_fields(), ('files', 'onnxruntime', 'fp32'), str(network))
    assert load_model(networks.write_model(tmp_path, fields)).network_file('onnxruntime', 'fp32') == str(network)


def test_back_ends_that_read_onnx_share_one_entry_and_one_with_its_own_uses_that_alone(tmp_path):
    fields = networks.segmentation_fields()
    fields['files'] = {'onnx': {'fp32': 'a.onnx', 'int8': 'b.onnx'}, 'tensorrt': {'fp32': 'c.onnx'}}
    for name in ('a', 'b', 'c'):
        (tmp_path / (name + '.onnx')).write_text('')
    model = load_model(networks.write_model(tmp_path, fields))
    for backend in ('onnxruntime', 'openvino'):
        assert model.networks(backend) == {'fp32': 'a.onnx', 'int8': 'b.onnx'}
        assert model.network_file(backend, 'int8') == str(tmp_path / 'b.onnx')
    assert model.network_file('tensorrt', 'fp32') == str(tmp_path / 'c.onnx')
    assert model.networks('tflite', format='') == {}
    for call, text in ((lambda: model.network_file('tensorrt', 'int8'), 'files.tensorrt: no int8 network, only fp32.'),
                       (lambda: model.network_file('openvino', 'bf16'), 'files.onnx: no bf16 network, only fp32, int8'),
                       (lambda: model.network_file('tflite', 'fp32', format=''),
                        "files: no network for engine 'tflite', only for onnx, tensorrt. Add one, or")):
        with pytest.raises(ConfigError) as caught:
            call()
        assert text in str(caught.value)


def test_what_a_precision_costs_is_unknown_unless_it_is_written(tmp_path):
    plain = load_model(networks.write_model(tmp_path, networks.segmentation_fields()))
    assert plain.precision_loss['int8'] == plain.precision_loss['fp16'] == float('inf')
    fields = dict(networks.segmentation_fields(), precision_loss={'int8': 0.2})
    measured = load_model(networks.write_model(tmp_path, fields))
    assert measured.precision_loss['int8'] == 0.2
    assert measured.precision_loss['fp16'] == float('inf')


@pytest.mark.parametrize(('value', 'text'), [
    ({'int8': 'little'}, 'precision_loss: int8: got'), ({'int8': -1}, 'expected a number from 0'),
    ({'int8': float('nan')}, 'expected a number from 0'), ({'int9': 1}, 'unknown field'), ([1], 'precision_loss: got')])
def test_a_loss_that_is_no_number_is_refused(tmp_path, value, text):
    with pytest.raises(ConfigError, match=text):
        load_model(networks.write_model(tmp_path, dict(networks.segmentation_fields(), precision_loss=value)))


@pytest.mark.parametrize(('value', 'expected'), [
    (['/warp/', 'sum'], ('/warp/', 'sum')), ([], ()), (GONE, ())])
def test_layers_that_stay_in_fp32_are_listed(tmp_path, value, expected):
    fields = networks.segmentation_fields()
    if value is not GONE:
        fields['keep_fp32'] = value
    assert load_model(networks.write_model(tmp_path, fields)).keep_fp32 == expected


# What is wrong in a model.

_ROOT = 'task, description, license, files, input, output'

WRONG_SEGMENTATION = [
    (('task',), GONE, 'task: missing, expected one of {}.'.format(NAMES)),
    (('task',), 'detection', "task: got 'detection', expected one of {}.".format(NAMES)),
    (('task',), 3, 'task: got 3, expected one of {}.'.format(NAMES)),
    (('description',), GONE, 'description: missing, expected a line of text.'),
    (('description',), ['a'], "description: got ['a'], expected a line of text."),
    (('license',), GONE, 'license: missing, expected the licence of the weights.'),
    (('license',), 2.0, 'license: got 2.0, expected the licence of the weights.'),
    (('files',), GONE, 'files: missing, expected a mapping of fields.'),
    (('files',), 'tiny.onnx', "files: got 'tiny.onnx', expected a mapping of fields."),
    (('files', 'onnxruntime'), 'tiny.onnx', "files.onnxruntime: got 'tiny.onnx', expected a mapping of fields."),
    (('files', 'onnxruntime', 'fp32'), 7, 'files.onnxruntime: fp32: got 7, expected a file name.'),
    (('files', 'onnxruntime', 'fp_16'), 'a.onnx',
     "files.onnxruntime: unknown field 'fp_16'. Did you mean 'fp16'? Known: fp32, fp16, bf16, int8."),
    (('labels',), GONE, 'labels: missing, expected a name in config/labels.'),
    (('labels',), [1], 'labels: got [1], expected a name in config/labels.'),
    (('keep_fp32',), '/warp/', "keep_fp32: got '/warp/', expected a list of parts of layer names."),
    (('keep_fp32',), [''], "keep_fp32: got [''], expected a list of parts of layer names."),
    (('keep_fp32',), [1], 'keep_fp32: got [1], expected a list of parts of layer names.'),
    (('lables',), 'x',
     "unknown field 'lables'. Did you mean 'labels'? Known: {}, labels, sha256, precision_loss, keep_fp32.".format(
         _ROOT)),
    (('qqqq',), 'x', "unknown field 'qqqq'. Known: {}, labels, sha256, precision_loss, keep_fp32.".format(_ROOT)),
    ((5,), 'x', 'unknown field 5. Known: {}, labels, sha256, precision_loss, keep_fp32.'.format(_ROOT)),
    (('input',), GONE, 'input: missing, expected a mapping of fields.'),
    (('input',), [1], 'input: got [1], expected a mapping of fields.'),
    (('input', 'names'), GONE, 'input: names: missing, expected a list of input names.'),
    (('input', 'names'), 'image', "input: names: got 'image', expected a list of input names."),
    (('input', 'names'), [], 'input: names: got [], expected a list of 1 different input name.'),
    (('input', 'names'), ['a', 'b'], "input: names: got ['a', 'b'], expected a list of 1 different input name."),
    (('input', 'names'), [1], 'input: names: got [1], expected a list of 1 different input name.'),
    (('input', 'color'), GONE, 'input: color: missing, expected one of rgb, bgr, gray.'),
    (('input', 'color'), 'RGB', "input: color: got 'RGB', expected one of rgb, bgr, gray."),
    (('input', 'mean'), 0.5, 'input: mean: got 0.5, expected a list of 3 finite numbers.'),
    (('input', 'mean'), [1, 2], 'input: mean: got [1, 2], expected a list of 3 finite numbers.'),
    (('input', 'mean'), [1, 2, 3, 4], 'input: mean: got [1, 2, 3, 4], expected a list of 3 finite numbers.'),
    (('input', 'mean'), [1, '2', 3], "input: mean: got [1, '2', 3], expected a list of 3 finite numbers."),
    (('input', 'mean'), [1, True, 3], 'input: mean: got [1, True, 3], expected a list of 3 finite numbers.'),
    (('input', 'mean'), [1, float('nan'), 3], 'input: mean: got [1, nan, 3], expected a list of 3 finite numbers.'),
    (('input', 'std'), [1, float('inf'), 3], 'input: std: got [1, inf, 3], expected a list of 3 finite numbers.'),
    (('input', 'std'), [1, 0, 3], 'input: std: got [1.0, 0.0, 3.0], expected numbers above 0.'),
    (('input', 'std'), [1, 2, -3], 'input: std: got [1.0, 2.0, -3.0], expected numbers above 0.'),
    (('input', 'meen'), [1, 2, 3],
     "input: unknown field 'meen'. Did you mean 'mean'? Known: names, color, mean, std."),
    (('output',), GONE, 'output: missing, expected a mapping of fields.'),
    (('output', 'labels'), GONE, 'output: labels: missing, expected the name of the labels output.'),
    (('output', 'labels'), 1, 'output: labels: got 1, expected the name of the labels output.'),
    (('output', 'confidence'), True, 'output: confidence: got True, expected the name of the confidence output.'),
    (('output', 'flow'), 'flow', "output: unknown field 'flow'. Known: labels, confidence."),
]

WRONG_FLOW = [
    (('labels',), 'camvid', "unknown field 'labels'. Known: {}, sha256, precision_loss, keep_fp32.".format(_ROOT)),
    (('input', 'names'), ['first'], "input: names: got ['first'], expected a list of 2 different input names."),
    (('input', 'names'), ['a', 'a'], "input: names: got ['a', 'a'], expected a list of 2 different input names."),
    (('input', 'mean'), [1, 2, 3], 'input: mean: got [1, 2, 3], expected a list of 1 finite number.'),
    (('output', 'flow'), GONE, 'output: flow: missing, expected the name of the flow output.'),
    (('output', 'flow_scale'), 0, 'output: flow_scale: got 0, expected a finite number other than 0.'),
    (('output', 'flow_scale'), float('nan'), 'output: flow_scale: got nan, expected a finite number other than 0.'),
    (('output', 'flow_scale'), '20', "output: flow_scale: got '20', expected a number."),
    (('output', 'flow_scale'), True, 'output: flow_scale: got True, expected a number.'),
    (('output', 'flowscale'), 2.0,
     "output: unknown field 'flowscale'. Did you mean 'flow_scale'? Known: flow, confidence, flow_scale."),
]


def _id(value):
    return '.'.join(str(key) for key in value) if isinstance(value, tuple) else None


@pytest.mark.parametrize(('place', 'value', 'expected'), WRONG_SEGMENTATION, ids=_id)
def test_a_wrong_field_of_a_segmentation_model_is_named(tmp_path, place, value, expected):
    path = networks.write_model(tmp_path, changed(networks.segmentation_fields(), place, value))
    assert error_of(load_model, path) == '{}: {}'.format(path, expected)


@pytest.mark.parametrize(('place', 'value', 'expected'), WRONG_FLOW, ids=_id)
def test_a_wrong_field_of_an_optical_flow_model_is_named(tmp_path, place, value, expected):
    path = networks.write_model(tmp_path, changed(networks.flow_fields(), place, value))
    assert error_of(load_model, path) == '{}: {}'.format(path, expected)


def test_a_long_wrong_value_is_cut_in_the_message(tmp_path):
    path = networks.write_model(tmp_path, changed(networks.segmentation_fields(), ('task',), 'x' * 500))
    assert error_of(load_model, path) == "{}: task: got '{}..., expected one of {}.".format(path, 'x' * 76, NAMES)


# What is wrong in a label set.

def _classes(**second):
    return [{'id': 0, 'name': 'a', 'color': [1, 2, 3]}, dict({'id': 1, 'name': 'b', 'color': [0, 0, 255]}, **second)]


def _without(key):
    classes = _classes()
    del classes[1][key]
    return classes


WRONG_LABELS = [
    ({'classes': _classes(id=0)}, 'classes[1]: id: got 0, expected an id that no other class has.'),
    ({'classes': _classes(id=255)}, 'classes[1]: id: got 255, expected an integer 0..254 (255 means "no class").'),
    ({'classes': _classes(id=-1)}, 'classes[1]: id: got -1, expected an integer 0..254 (255 means "no class").'),
    ({'classes': _classes(id='1')}, "classes[1]: id: got '1', expected an integer 0..254."),
    ({'classes': _classes(id=True)}, 'classes[1]: id: got True, expected an integer 0..254.'),
    ({'classes': _classes(id=1.0)}, 'classes[1]: id: got 1.0, expected an integer 0..254.'),
    ({'classes': _without('id')}, 'classes[1]: id: missing, expected an integer 0..254.'),
    ({'classes': _classes(name=5)}, 'classes[1]: name: got 5, expected a name.'),
    ({'classes': _without('name')}, 'classes[1]: name: missing, expected a name.'),
    ({'classes': _without('color')}, 'classes[1]: color: missing, expected [red, green, blue], 0..255.'),
    ({'classes': _classes(color='red')}, "classes[1]: color: got 'red', expected [red, green, blue], 0..255."),
    ({'classes': _classes(color=[1, 2])}, 'classes[1]: color: got [1, 2], expected [red, green, blue], 0..255.'),
    ({'classes': _classes(color=[1, 2, 256])},
     'classes[1]: color: got [1, 2, 256], expected [red, green, blue], 0..255.'),
    ({'classes': _classes(color=[-1, 2, 3])},
     'classes[1]: color: got [-1, 2, 3], expected [red, green, blue], 0..255.'),
    ({'classes': _classes(color=[0.5, 0.5, 0.5])},
     'classes[1]: color: got [0.5, 0.5, 0.5], expected [red, green, blue], 0..255.'),
    ({'classes': _classes(color=[True, 2, 3])},
     'classes[1]: color: got [True, 2, 3], expected [red, green, blue], 0..255.'),
    ({'classes': _classes(colour=[1, 2, 3])},
     "classes[1]: unknown field 'colour'. Did you mean 'color'? Known: id, color, name."),
    ({'classes': ['road']}, "classes[0]: got 'road', expected a mapping of fields."),
    ({'classes': []}, 'classes: got [], expected at least one class.'),
    ({'classes': {'road': 1}}, "classes: got {'road': 1}, expected a list of {id, name, color}."),
    ({}, 'classes: missing, expected a list of {id, name, color}.'),
    ({'classes': _classes(), 'void': 255}, "unknown field 'void'. Known: classes."),
    ([1], 'got [1], expected a mapping of fields.'),
]


@pytest.mark.parametrize(('content', 'expected'), WRONG_LABELS, ids=[text for _, text in WRONG_LABELS])
def test_a_wrong_label_set_is_refused_with_file_and_place(tmp_path, content, expected):
    path = networks.write_yaml(tmp_path / 'labels.yaml', content)
    assert error_of(load_labels, path) == '{}: {}'.format(path, expected)


def test_ids_0_and_254_are_classes(tmp_path):
    classes = [{'id': 254, 'name': 'a', 'color': [0, 255, 0]}, {'id': 0, 'name': 'b', 'color': [1, 1, 1]}]
    path = networks.write_yaml(tmp_path / 'labels.yaml', {'classes': classes})
    assert load_labels(path).classes == (LabelClass(254, 'a', (0, 255, 0)), LabelClass(0, 'b', (1, 1, 1)))


# Files.

def test_an_unknown_model_name_is_refused_with_the_closest_one():
    there = ', '.join(model_names())
    assert error_of(load_model, 'espnet_canvid') == (
        "config/models: no 'espnet_canvid'. Did you mean 'espnet_camvid'? There are: {}. A path to your own YAML works "
        'too.'.format(there))
    assert error_of(load_model, 'zzz') == (
        "config/models: no 'zzz'. There are: {}. A path to your own YAML works too.".format(there))


def test_an_unknown_label_set_is_refused_with_the_closest_one(tmp_path):
    path = networks.write_model(tmp_path, dict(networks.segmentation_fields(), labels='canvid'))
    assert error_of(load_model, path).startswith("config/labels: no 'canvid'. Did you mean 'camvid'? There are: ")


def test_a_yaml_that_is_not_there_is_named(tmp_path):
    path = str(tmp_path / 'none.yaml')
    assert error_of(load_model, path) == '{}: no such file. Give an existing YAML, or one of the names {}.'.format(
        path, ', '.join(model_names()))
    fields = dict(networks.segmentation_fields(), labels='none.yaml')
    assert error_of(load_model, networks.write_model(tmp_path, fields)).startswith(
        '{}: no such file. Give an existing YAML, or one of the names '.format(path))


@pytest.mark.parametrize(('content', 'part'), [
    (b'task: [segmentation', 'line 1'), (b'a: b: c', 'mapping values are not allowed'),
    (b'task: \x01', 'special characters')])
def test_a_file_that_is_not_yaml_is_refused_with_the_parsers_text(tmp_path, content, part):
    path = tmp_path / 'bad.yaml'
    path.write_bytes(content)
    text = error_of(load_model, str(path))
    assert text.startswith('{}: not valid YAML: '.format(path))
    assert part in text


def test_a_binary_file_is_refused_with_the_verb_that_makes_a_yaml_for_a_network(tmp_path):
    (tmp_path / 'bad.yaml').write_bytes(b'\xff\xfe\x00task')
    assert error_of(load_model, str(tmp_path / 'bad.yaml')).endswith(
        'bad.yaml: got a binary file, expected a YAML. If it is a network, `trt_perception_tools '
        'import-model` makes the YAML.')


@pytest.mark.parametrize('name', ['net.onnx', 'sub/net.tflite', 'net.engine', 'net.pth'])
def test_a_network_in_place_of_a_model_is_refused_with_the_verb_that_imports_it(name):
    assert error_of(load_model, name) == (
        '{}: got a network, expected a model: a YAML that says how to feed and read one. Make both with '
        '`trt_perception_tools import-model {} --task {} --output DIR`, and give DIR/net.yaml.'.format(
            name, name, '|'.join(TASKS)))


@pytest.mark.parametrize(('content', 'shown'), [('', 'None'), ('just words', "'just words'"), ('- a', "['a']")])
def test_yaml_that_is_no_mapping_is_refused(tmp_path, content, shown):
    path = networks.write_yaml(tmp_path / 'bad.yaml', content)
    assert error_of(load_model, path) == '{}: got {}, expected a mapping of fields.'.format(path, shown)


def test_a_network_for_another_engine_or_precision_is_refused_with_those_there_are(tmp_path):
    fields = networks.segmentation_fields()
    fields['files'] = {'tflite': {'int8': 'a.tflite'}, 'onnxruntime': {'int8': 'b.onnx', 'fp32': 'c.onnx'}}
    path = networks.write_model(tmp_path, fields)
    model = load_model(path)
    assert error_of(model.network_file, 'tensorrt', 'fp32') == (
        "{}: files: no network for engine 'tensorrt', only for onnxruntime, tflite. Add one, or set the parameter "
        'engine to another.'.format(path))
    assert error_of(model.network_file, 'onnxruntime', 'fp16') == (
        '{}: files.onnxruntime: no fp16 network, only fp32, int8. Choose one of those with the parameter '
        'precision.'.format(path))


def test_a_missing_network_file_is_named_with_both_places(tmp_path):
    path = networks.write_model(tmp_path, networks.segmentation_fields())
    assert error_of(load_model(path).network_file, 'onnxruntime', 'fp32') == (
        '{}: files.onnxruntime.fp32: tiny.onnx is neither beside the YAML nor in {}. Run `make models` in the source '
        'checkout to make it, or point the YAML to the file.'.format(path, share_path('models')))


def test_a_shipped_model_copied_elsewhere_still_loads(tmp_path):
    path = shutil.copy(share_path('config', 'models', 'espnet_camvid.yaml'), str(tmp_path / 'mine.yaml'))
    assert load_model(path)._replace(name='', path='').labels == load_model('espnet_camvid').labels


def test_did_you_mean_ends_a_sentence():
    assert did_you_mean('onnxruntme', ['tensorrt', 'onnxruntime']) == ". Did you mean 'onnxruntime'?"
    assert did_you_mean('zzz', ['tensorrt', 'onnxruntime']) == '.'

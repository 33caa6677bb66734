import hashlib
import os

import networks
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.network_files import check_network_files, network_sha256, weights_files
from trt_perception.engines import open_engine


def located(name):
    """Return bytes as protobuf writes an external_data entry with this location."""
    name = os.fsencode(name)
    assert len(name) < 128
    return b'\n\x08location\x12' + bytes([len(name)]) + name


def model_of(folder, **sha256):
    fields = networks.segmentation_fields()
    model = networks.segmentation_model(folder, fields=fields)
    return model._replace(sha256={name.replace('_', '.'): digest for name, digest in sha256.items()})


def test_weights_are_found_by_their_names():
    data = b'graph' + located('b.weights') + b'more' + located('sub/a.bin') + located('b.weights')
    assert weights_files('net.onnx', data) == ['b.weights', 'sub/a.bin']
    assert weights_files('net.onnx', b'') == []


@pytest.mark.parametrize('name', ['/dev/zero', '../secret', 'a/../../b', 'a\0b', ''])
def test_weights_outside_of_the_networks_folder_are_refused(name):
    with pytest.raises(ConfigError) as caught:
        weights_files('net.onnx', located(name))
    assert str(caught.value) == (
        'net.onnx: it names {!r} for its weights, expected a file in its own folder. Export it again, or get it from '
        'a source you trust.'.format(name))


@pytest.mark.parametrize(('make', 'reason'), [
    (lambda path: os.mkfifo(path), 'not a regular file'), (lambda path: os.mkdir(path), 'not a regular file'),
    (lambda path: os.symlink('/dev/zero', path), 'not a regular file'),
    (lambda path: None, 'No such file or directory')])
def test_weights_that_are_no_file_are_refused_and_not_waited_for(tmp_path, make, reason):
    (tmp_path / 'net.onnx').write_bytes(located('net.weights'))
    make(str(tmp_path / 'net.weights'))
    path = str(tmp_path / 'net.onnx')
    for read in (network_sha256, lambda each: check_network_files(model_of(tmp_path), each)):
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert str(caught.value) == '{}: its weights are in {}: {}. Put that file beside it.'.format(
            path, tmp_path / 'net.weights', reason)


def test_a_file_that_is_what_the_yaml_says_is_opened(tmp_path):
    model = model_of(tmp_path)
    digest = hashlib.sha256((tmp_path / 'tiny.onnx').read_bytes()).hexdigest()
    open_engine(model._replace(sha256={'tiny.onnx': digest, 'another.onnx': '0' * 64})).close()


def test_a_flipped_bit_is_found_when_the_engine_is_opened(tmp_path):
    path = tmp_path / 'tiny.onnx'
    model = model_of(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(ConfigError) as caught:
        open_engine(model._replace(sha256={'tiny.onnx': digest}))
    assert str(caught.value) == (
        '{}: sha256: tiny.onnx has the digest {}, expected {}. The file is damaged or another: copy it again, or '
        'correct the YAML.'.format(model.path, hashlib.sha256(bytes(data)).hexdigest(), digest))


def test_a_flipped_bit_of_the_weights_is_found(tmp_path):
    (tmp_path / 'net.onnx').write_bytes(located('net.weights'))
    (tmp_path / 'net.weights').write_bytes(b'1234')
    model = model_of(tmp_path)._replace(sha256={'net.weights': hashlib.sha256(b'1234').hexdigest()})
    check_network_files(model, str(tmp_path / 'net.onnx'))
    (tmp_path / 'net.weights').write_bytes(b'1235')
    with pytest.raises(ConfigError, match='sha256: net.weights has the digest '):
        check_network_files(model, str(tmp_path / 'net.onnx'))


def test_every_shipped_network_and_its_weights_have_their_digest():
    from trt_perception.core.model import load_model, model_names
    from trt_perception.core.share import share_path
    checked = 0
    for name in model_names():
        model = load_model(name)
        for by_precision in model.files.values():
            for file in by_precision.values():
                path = share_path('models', file)
                if os.path.isfile(path) and model.sha256:
                    with open(path, 'rb') as stream:
                        assert set(weights_files(path, stream.read())) <= set(model.sha256), name
                    assert file in model.sha256, name
                    check_network_files(model, path)
                    checked += 1
    assert checked >= 5

import json
import os
import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.network_files import network_sha256
from trt_perception.engines import BuiltEngine
from trt_perception.engines.tensorrt.cache import EngineCache, EngineKey, _check_trusted

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEY = EngineKey('tiny', 'fp16', 'a1', '8.2.1', 'NVIDIA Tegra X2, sm_62', 0, -1, '', 1)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(str(tmp_path / 'cache'))


def put(cache, key=KEY, data=b'engine', **facts):
    with cache.lock(lambda: None):
        cache.publish(key, cache.draft(key, data), dict({'summary': 'all well'}, **facts))
    return cache.path(key.stem + '.engine')


def test_what_was_put_is_found(cache):
    path = put(cache)
    assert cache.find(KEY) == BuiltEngine(path, 'fp16', 'all well', '')
    with open(path, 'rb') as file:
        assert file.read() == b'engine'
    assert sorted(os.listdir(cache.folder)) == ['builder.lock', KEY.stem + '.engine', KEY.stem + '.json']


def test_the_name_tells_model_and_precision():
    name, precision, digest = KEY.stem.split('-')
    assert (name, precision) == ('tiny', 'fp16')
    assert len(digest) == 12
    assert int(digest, 16) >= 0
    assert KEY.stem == EngineKey(*KEY).stem


@pytest.mark.parametrize('change', [
    {'model': 'other'}, {'precision': 'fp32'}, {'network_sha256': 'b2'}, {'tensorrt': '8.2.2'},
    {'gpu': 'NVIDIA Tegra X2, sm_72'}, {'workspace_bytes': 1}, {'dla_core': 0},
    {'keep_fp32': 'sum'}, {'builder': 2}])
def test_every_ingredient_changes_the_name(cache, change):
    other = KEY._replace(**change)
    put(cache)
    assert other.stem != KEY.stem
    assert cache.find(other) is None
    put(cache, other, b'another engine')
    assert cache.find(KEY).path != cache.find(other).path
    assert set(change) <= set(EngineKey._fields)


def test_every_field_of_the_key_is_tried_above():
    assert len(EngineKey._fields) == 9


def test_the_side_car_file_tells_key_and_facts(cache):
    put(cache, build_seconds=3.5, layers={'fp16': 4})
    facts = cache.facts(KEY.stem)
    assert facts['key'] == dict(KEY._asdict())
    assert (facts['build_seconds'], facts['layers'], facts['summary']) == (3.5, {'fp16': 4}, 'all well')
    assert len(facts['engine_sha256']) == 64


@pytest.mark.parametrize('damage', [
    lambda engine, facts: engine.write_bytes(b'engin'), lambda engine, facts: engine.write_bytes(b'engine '),
    lambda engine, facts: engine.unlink(), lambda engine, facts: facts.unlink(),
    lambda engine, facts: facts.write_text(facts.read_text()[:-20]), lambda engine, facts: facts.write_text('[]'),
    lambda engine, facts: facts.write_bytes(b'\xff\xfe'), lambda engine, facts: facts.write_text('{"key": 1}'),
    lambda engine, facts: facts.write_text(facts.read_text().replace('engine_sha256', 'sha')),
    lambda engine, facts: facts.write_text(facts.read_text().replace('8.2.1', '8.2.2'))])
def test_damaged_files_are_no_engine_and_are_replaced(cache, tmp_path, damage):
    put(cache)
    damage(*[tmp_path / 'cache' / (KEY.stem + end) for end in ('.engine', '.json')])
    assert cache.find(KEY) is None
    put(cache, data=b'new')
    assert cache.find(KEY) is not None


def test_another_engine_may_stand_in(cache):
    fp32 = KEY._replace(precision='fp32')
    path = put(cache, fp32, summary='fp32 is well')
    with cache.lock(lambda: None):
        cache.replace(KEY, fp32, {'summary': 'fp16 is wrong', 'warning': 'fp32 is used'})
    assert cache.find(KEY) == BuiltEngine(path, 'fp32', 'fp32 is well', 'fp32 is used')
    os.remove(path)
    assert cache.find(KEY) is None


def test_the_default_folder_is_in_the_cache_folder_of_the_user(monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', '/mine')
    assert EngineCache().folder == '/mine/trt_perception'
    monkeypatch.setenv('XDG_CACHE_HOME', '')
    monkeypatch.setenv('HOME', '/home/someone')
    assert EngineCache().folder == '/home/someone/.cache/trt_perception'
    assert EngineCache('~/engines').folder == '/home/someone/engines'


def test_a_folder_that_cannot_be_written_is_refused_with_the_remedy(tmp_path):
    (tmp_path / 'file').write_text('')
    cache = EngineCache(str(tmp_path / 'file' / 'cache'))
    with pytest.raises(ConfigError) as caught, cache.lock(lambda: None):
        pass
    assert str(caught.value) == (
        'engine_cache_dir: {} cannot be written: Not a directory. Set the parameter engine_cache_dir (or --cache-dir) '
        'to a folder that can.'.format(cache.folder))


def test_reading_needs_no_right_to_write(cache, tmp_path):
    path = put(cache)
    (tmp_path / 'cache' / 'builder.lock').unlink()
    (tmp_path / 'cache').chmod(0o500)
    assert cache.find(KEY).path == path
    assert not os.path.exists(cache.path('builder.lock'))
    (tmp_path / 'cache').chmod(0o700)


def test_a_full_disk_is_said(cache, monkeypatch):
    def full(number):
        raise OSError(28, 'No space left on device')
    with cache.lock(lambda: None):
        monkeypatch.setattr(os, 'fsync', full)
        with pytest.raises(EngineError) as caught:
            cache.draft(KEY, bytes(3 * 2**20))
    assert '3 MB could not be written: No space left on device. Make room' in str(caught.value)
    assert cache.find(KEY) is None


CHILD = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from trt_perception.engines.tensorrt.cache import EngineCache, EngineKey, _check_trusted
cache, key = EngineCache({folder!r}), EngineKey(*{key!r})
def say(text):
    print(text, flush=True)
with cache.lock(lambda: say('waiting')):
    say('locked')
    {work}
"""


def start(cache, work):
    code = CHILD.format(root=ROOT, folder=cache.folder, key=tuple(KEY), work=work)
    return subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            universal_newlines=True)


def test_a_second_builder_waits_for_the_first(cache):
    first = start(cache, 'sys.stdin.readline()')
    assert first.stdout.readline() == 'locked\n'
    second = start(cache, 'pass')
    assert second.stdout.readline() == 'waiting\n'
    first.communicate('go on\n')
    assert second.communicate()[0].replace('waiting\n', '') == 'locked\n'
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_builder_that_was_killed_leaves_no_lock(cache):
    first = start(cache, 'time.sleep(60)')
    assert first.stdout.readline() == 'locked\n'
    first.kill()
    first.communicate()
    assert os.path.exists(cache.path('builder.lock'))
    waited = []
    with cache.lock(lambda: waited.append(1)):
        pass
    assert waited == []


# Every call of the system between the first byte and the last name.
@pytest.mark.parametrize(('function', 'call'), [
    ('os.fsync', 1), ('os.replace', 1), ('os.fsync', 2), ('os.replace', 2), ('os.fsync', 3), (None, 0)])
def test_killed_while_it_writes_a_builder_leaves_nothing_that_looks_like_an_engine(cache, function, call):
    put(cache, data=b'old engine')
    work = "cache.publish(key, cache.draft(key, b'x' * 10**6), dict(summary='new'))"
    if function:
        work = ('n = []\n    def die(*a, real={0}):\n        n.append(1)\n'
                '        if len(n) == {1}: os.kill(os.getpid(), signal.SIGKILL)\n        return real(*a)\n'
                '    {0} = die\n    ' + work).format(function, call)
    child = start(cache, work)
    child.communicate()
    assert child.returncode == (-signal.SIGKILL if function else 0)
    found = cache.find(KEY)
    if found is not None:  # Then it is one of the two, whole.
        with open(found.path, 'rb') as file:
            assert (file.read(), found.summary) in ((b'old engine', 'all well'), (b'x' * 10**6, 'new'))
    assert (found is None) == ((function, call) in (('os.fsync', 2), ('os.replace', 2)))
    with cache.lock(lambda: None):
        assert [name for name in os.listdir(cache.folder) if name.endswith('.part')] == []
    put(cache, data=b'newest')
    assert cache.find(KEY).summary == 'all well'


# The digest of a network.

def save(folder, weights, external=None):
    """Write a network that adds a constant, which may be in another file."""
    tensor = numpy_helper.from_array(np.array(weights, np.float32), 'weights')
    graph = helper.make_graph([helper.make_node('Add', ['x', 'weights'], ['y'])], 'tiny', *[
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2000])] for name in 'xy'], initializer=[tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    path = str(folder / 'tiny.onnx')
    if external:
        external_data_helper.convert_model_to_external_data(model, location=external)
    onnx.save(model, path)
    return path


def test_the_digest_is_that_of_the_bytes(tmp_path):
    path = save(tmp_path, np.arange(2000))
    digest = network_sha256(path)
    assert network_sha256(save(tmp_path, np.arange(2000))) == digest
    assert network_sha256(save(tmp_path, np.arange(2000) + 1)) != digest


@pytest.mark.parametrize('name', ['tiny.weights', 'w' * 200 + '.bin', 'gewichte_ä.bin'])
def test_weights_in_another_file_count(tmp_path, name):
    path = save(tmp_path, np.arange(2000), name)
    digest = network_sha256(path)
    file = tmp_path / name
    data = bytearray(file.read_bytes())
    data[4000] ^= 1
    file.write_bytes(data)
    assert network_sha256(path) != digest
    data[4000] ^= 1
    file.write_bytes(data)
    assert network_sha256(path) == digest
    (tmp_path / 'unrelated').write_bytes(b'x')
    assert network_sha256(path) == digest


def test_missing_weights_are_named(tmp_path):
    path = save(tmp_path, np.arange(2000), 'tiny.weights')
    (tmp_path / 'tiny.weights').unlink()
    with pytest.raises(ConfigError) as caught:
        network_sha256(path)
    assert str(caught.value) == '{}: its weights are in {}: No such file or directory. Put that file beside it.'.format(
        path, tmp_path / 'tiny.weights')


# Whose engines are used.

@pytest.mark.parametrize('mode', [0o777, 0o757, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused_with_the_remedy(cache, tmp_path, mode):
    put(cache)
    (tmp_path / 'cache').chmod(mode)
    for use in (lambda: cache.find(KEY), lambda: put(cache)):
        with pytest.raises(ConfigError) as caught:
            use()
        assert str(caught.value) == (
            'engine_cache_dir: {0}: others may write to it (mode {1:o}). An engine is code, so that only your own are '
            'used. Run `chmod go-w {0}` if it is yours, or set engine_cache_dir to a folder of your own.'.format(
                cache.folder, mode))


def test_a_folder_of_another_user_is_refused(cache, monkeypatch):
    put(cache)
    owner = os.stat(cache.folder).st_uid
    monkeypatch.setattr(os, 'geteuid', lambda: owner + 1)
    if owner == 0:  # What root wrote is as good as one's own.
        assert cache.find(KEY) is not None
        os.chown(cache.folder, 12345, 12345)
        owner = 12345
    with pytest.raises(ConfigError, match='it belongs to user {}, not to {}[.]'.format(owner, os.geteuid())):
        cache.find(KEY)


@pytest.mark.parametrize('end', ['.engine', '.json'])
def test_a_file_that_others_may_write_to_is_no_engine(cache, tmp_path, end):
    put(cache)
    (tmp_path / 'cache' / (KEY.stem + end)).chmod(0o646)
    assert cache.find(KEY) is None
    (tmp_path / 'cache' / (KEY.stem + end)).chmod(0o644)
    assert cache.find(KEY) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give files away')
@pytest.mark.parametrize('end', ['.engine', '.json'])
def test_a_file_of_another_user_is_no_engine_and_is_replaced(cache, tmp_path, end):
    put(cache)
    os.chown(str(tmp_path / 'cache' / (KEY.stem + end)), 12345, 12345)
    assert cache.find(KEY) is None
    put(cache, data=b'new')
    assert cache.find(KEY) is not None


@pytest.mark.parametrize(('user', 'group', 'trusted'), [(1000, 1000, True), (1000, 50, False), (1001, 1000, False)])
def test_a_group_may_write_where_it_is_the_users_own(monkeypatch, user, group, trusted):
    status = os.stat_result((0o40775, 1, 1, 1, 1000, 1000 if group != 50 else 50, 0, 0, 0, 0))
    monkeypatch.setattr(os, 'geteuid', lambda: user)
    monkeypatch.setattr(os, 'getegid', lambda: group)
    if trusted:
        _check_trusted(status, 'folder')
        return
    with pytest.raises(PermissionError):
        _check_trusted(status, 'folder')


def test_what_is_written_belongs_to_this_user_alone(cache):
    old = os.umask(0)
    try:
        path = put(cache)
    finally:
        os.umask(old)
    assert os.stat(cache.folder).st_mode & 0o777 == 0o700
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert cache.find(KEY) is not None


@pytest.mark.parametrize('value', ['../outside/evil', '/outside/evil', 'a/b', '', 5, ['a'], None])
def test_a_stand_in_is_a_file_of_the_same_folder(cache, tmp_path, value):
    put(cache)
    (tmp_path / 'outside').mkdir()
    for end in ('.engine', '.json'):
        (tmp_path / 'outside' / ('evil' + end)).write_bytes((tmp_path / 'cache' / (KEY.stem + end)).read_bytes())
    path = tmp_path / 'cache' / (KEY.stem + '.json')
    path.write_text(json.dumps(dict(json.loads(path.read_text()), replaced_by=value)))
    assert cache.find(KEY) is None


@pytest.mark.parametrize('change', [
    {'summary': 5}, {'summary': None}, {'warning': 5}, {'engine_sha256': float('nan')}, {'key': [1]}, {'key': None}])
def test_a_side_car_of_wrong_types_is_no_engine(cache, tmp_path, change):
    put(cache)
    path = tmp_path / 'cache' / (KEY.stem + '.json')
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **change)))
    assert cache.find(KEY) is None


@pytest.mark.parametrize('text', ['[' * 100000 + ']' * 100000, '{"a": ' + '9' * 5000 + '}', ' ' * (2**20 + 1)])
def test_a_side_car_beyond_limits_is_no_engine(cache, tmp_path, text):
    put(cache)
    (tmp_path / 'cache' / (KEY.stem + '.json')).write_text(text)
    assert cache.find(KEY) is None


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo, lambda path: os.symlink('/dev/zero', path)])
@pytest.mark.parametrize('name', [KEY.stem + '.engine', KEY.stem + '.json', KEY.stem + '.engine.part', 'x.part'])
def test_what_is_no_file_is_replaced_and_not_waited_for(cache, name, make):
    put(cache)
    path = cache.path(name)
    if os.path.exists(path):
        os.remove(path)
        make(path)
        assert cache.find(KEY) is None
    else:
        make(path)
    put(cache, data=b'new')
    assert cache.find(KEY) is not None


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo])
def test_a_lock_that_is_no_file_is_not_waited_for(cache, make):
    os.mkdir(cache.folder, 0o700)
    make(cache.path('builder.lock'))
    with pytest.raises(ConfigError) as caught:
        put(cache)
    assert str(caught.value).startswith('engine_cache_dir: {}/builder.lock is no regular file. '.format(cache.folder))

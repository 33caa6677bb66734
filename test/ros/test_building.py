"""A node whose TensorRT engine must be built first; the build waits until the test opens the gate."""
import contextlib
import glob
import importlib
import os
import signal
import time
from collections import Counter

import networks
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rig import PATIENCE_S, Program, image, pixels_of, random_image, stamp_of, trt_perception
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from tensorrt_rig import model_of_both_runtimes, segmentation_model

from trt_perception.core.errors import EngineError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.engines import EngineOptions, prepare_engine
from trt_perception.ros.engine_supervisor import State

TOPICS = {SEGMENTATION: 'segmentation/label_map', OPTICAL_FLOW: 'optical_flow/flow'}


@pytest.fixture
def gate(tmp_path):
    return tmp_path / 'gate'


@pytest.fixture
def begin(rig, tensorrt, tmp_path, gate):
    """Return a function that starts a node which builds, and returns what it publishes."""
    def begin(tasks, *arguments, before=lambda: None, **builder):
        tensorrt.use('8.2', gate=str(gate), **builder)
        before()
        received = {}
        models = []
        for task in tasks:
            (tmp_path / task).mkdir(exist_ok=True)
            models += ['-p', '{}.model:={}'.format(task, model_of_both_runtimes(tmp_path / task, task).path)]
            received[task] = rig.watch(Image, TOPICS[task])
        rig.start(tasks, '-p', 'engine:=tensorrt', '-p', 'engine_cache_dir:=' + tensorrt.cache, *models, *arguments,
                  opened=False)
        for task in tasks:
            rig.watched(TOPICS[task])
        return received
    yield begin
    if rig.node is not None:
        rig.node.finish()  # Before the doubles are taken away.


def until_building(rig):
    rig.until(lambda: 'trying layers' in rig.worker.engines.building or rig.node.stopped.done(), 'the build')
    assert not rig.node.stopped.done(), rig.node.stopped.exception()


def until_on(rig, backend):
    rig.until(lambda: rig.node.stopped.done() or all(
        task.engine is not None and task.engine.backend == backend for task in rig.worker.tasks)
        and rig.worker.engines.state == State.RUNNING, 'the engines on ' + backend)
    assert not rig.node.stopped.done(), rig.node.stopped.exception()


def show(rig, *numbers):
    return [rig.show(image(random_image(number), 10**9 + number * 10**7)) for number in numbers]


def status_of(rig):
    [status] = rig.diagnostics()
    return status, {value.key: value.value for value in status.values}


def called(rig, kind, name, request):
    client = rig.outside.create_client(kind, name)
    rig.until(client.service_is_ready, name)
    future = client.call_async(request)
    rig.until(future.done, 'the answer of ' + name)
    return future.result()


def builders_of(pid):
    """Return the processes that build for a process: children of any of its threads."""
    found = []
    for path in glob.glob('/proc/{}/task/*/children'.format(pid)):
        with contextlib.suppress(OSError), open(path) as file:
            found += [int(number) for number in file.read().split()]
    return [child for child in found if b'engines.tensorrt.build' in command_of(child)]


def command_of(pid):
    try:
        with open('/proc/{}/cmdline'.format(pid), 'rb') as file:
            return file.read()
    except OSError:
        return b''


def test_while_its_engine_is_built_a_node_answers(rig, begin, gate):
    labels = begin([SEGMENTATION])[SEGMENTATION]
    until_building(rig)
    assert called(rig, SetBool, '/perception/enable', SetBool.Request(data=True)).success
    answer = called(rig, SetParameters, '/perception/set_parameters', SetParameters.Request(
        parameters=[Parameter('lazy', value=False).to_parameter_msg()]))
    assert answer.results[0].successful
    status, _ = status_of(rig)
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith('building tiny fp16: ')
    assert status.message.endswith(' s, trying layers')
    for number in range(3):
        rig.camera.publish(image(random_image(number), 10**9 + number))
        rig.until(lambda n=number: rig.feed.counts['received'] == n + 1, 'the image')
    assert rig.feed.counts['replaced'] == 2
    gate.touch()
    until_on(rig, 'tensorrt')
    rig.until(lambda: labels, 'the label map')  # Of the image that waited.
    assert [stamp_of(message) for message in labels] == [10**9 + 2]
    assert np.array_equal(np.unique(pixels_of(labels[0])), np.arange(3))
    assert rig.worker.engines.building == ''
    assert status_of(rig)[0].message.startswith('running: ')
    rig.until(lambda: rig.logged('tiny asked fp16: 2 of 2 layers fp16; golden frame: 100.00 % of the '), 'the log')
    assert rig.logged('segmentation: tiny on tensorrt, fp16, 6x8 px')


def test_meanwhile_another_runtime_may_serve(rig, begin, gate, tensorrt):
    received = begin(networks.TASKS, '-p', 'serve_while_building:=onnxruntime')
    until_on(rig, 'onnxruntime')
    assert show(rig, 0, 1, 2) == ['processed'] * 3
    status, values = status_of(rig)
    assert status.message.startswith('running: ')
    assert '; building tiny fp16: ' in status.message
    assert values['segmentation engine'] == values['optical_flow engine'] == 'onnxruntime'
    gate.touch()
    until_on(rig, 'tensorrt')
    assert show(rig, 3, 4) == ['processed'] * 2
    rig.until(lambda: len(received[SEGMENTATION]) == 5 and len(received[OPTICAL_FLOW]) == 3, 'the outputs')
    assert [stamp_of(m) for m in received[SEGMENTATION]] == [10**9 + n * 10**7 for n in range(5)]
    # The new engine has not seen image 2: image 3 starts a pair.
    assert [stamp_of(m) for m in received[OPTICAL_FLOW]] == [10**9 + n * 10**7 for n in (1, 2, 4)]
    for message, current in zip(received[OPTICAL_FLOW], (1, 2, 4)):
        expected = [-8 * gray(number) for number in (current, current - 1)]  # The network sees the eighth of a side.
        assert pixels_of(message)[0, 0] == pytest.approx(expected, abs=8)
    assert 'building' not in status_of(rig)[0].message
    assert len(tensorrt.builds) == 2


def gray(number):
    """Return the grey level of the upper left corner of an image."""
    return random_image(number)[0, 0] @ [0.299, 0.587, 0.114]


def test_what_serves_is_reopened_after_a_fault_and_the_build_goes_on(rig, begin, gate, tensorrt):
    begin([SEGMENTATION], '-p', 'serve_while_building:=onnxruntime')
    until_on(rig, 'onnxruntime')
    rig.worker.engines.fail('planted')
    rig.worker.engines._retry_at_s = 0.0
    assert show(rig, 0) == ['processed']
    assert rig.worker.tasks[0].engine.backend == 'onnxruntime'
    assert rig.worker.engines.building.startswith('building tiny fp16: ')
    gate.touch()
    until_on(rig, 'tensorrt')
    assert show(rig, 1) == ['processed']
    assert len(tensorrt.builds) == 1


def test_nothing_serves_when_the_engine_is_there(rig, begin, gate, tensorrt, tmp_path):
    gate.touch()
    tensorrt.use('8.2')
    (tmp_path / SEGMENTATION).mkdir()
    prepare_engine(model_of_both_runtimes(tmp_path / SEGMENTATION, SEGMENTATION),
                   EngineOptions('tensorrt', cache_dir=tensorrt.cache), lambda text: None)
    begin([SEGMENTATION], '-p', 'serve_while_building:=onnxruntime')
    until_on(rig, 'tensorrt')
    assert not rig.logged('on onnxruntime')
    assert len(tensorrt.builds) == 1


@pytest.mark.parametrize('serve', ['', 'onnxruntime'])
def test_a_build_that_fails_stops_the_node(rig, begin, gate, serve):
    begin([SEGMENTATION], '-p', "serve_while_building:='{}'".format(serve), refuses=True)
    until_building(rig)
    gate.touch()
    rig.until(rig.node.stopped.done, 'the end')
    error = rig.node.stopped.exception()
    assert isinstance(error, EngineError)
    assert 'built no fp16 engine: 10: Could not find any implementation' in str(error)
    rig.until(lambda: not rig.worker.is_alive(), 'the end of the worker')
    assert rig.worker.tasks[0].engine is None


def test_a_node_that_is_there_to_build_ends_when_its_engines_are_built(domain, tensorrt, tmp_path):
    tensorrt.use('8.2')
    model = segmentation_model(tmp_path)
    with Program(trt_perception('run', 'segmentation', '-p', 'engine:=tensorrt', '-p', 'engine_cache_dir:='
                                + tensorrt.cache, '-p', 'segmentation.model:=' + model.path, '-p', 'build_only:=true'),
                 tmp_path / 'output') as program:
        assert program.process.wait(30) == 0, program.output
        assert 'segmentation: tiny on tensorrt, fp16' in program.output
    assert len(glob.glob(os.path.join(tensorrt.cache, '*.engine'))) == 1


@pytest.mark.parametrize('serve', ['', 'onnxruntime'])
def test_closing_the_node_ends_the_build(rig, begin, serve):
    begin([SEGMENTATION], '-p', "serve_while_building:='{}'".format(serve))
    until_building(rig)
    assert len(builders_of(os.getpid())) == 1
    rig.node.finish()
    assert not rig.worker.is_alive()
    assert builders_of(os.getpid()) == []
    assert not rig.node.stopped.done()


def test_an_engine_is_built_anew_on_request_but_only_once(rig, begin, gate, tensorrt):
    gate.touch()
    begin([SEGMENTATION], '-p', 'force_engine_update:=true')
    until_on(rig, 'tensorrt')
    assert len(tensorrt.builds) == 1
    rig.worker.engines.fail('planted')
    rig.worker.engines._retry_at_s = 0.0
    assert show(rig, 0) == ['processed']
    assert len(tensorrt.builds) == 1


def test_fp32_in_place_of_fp16_is_warned_of(rig, begin, gate, tmp_path):
    gate.touch()
    segmentation_model(tmp_path, gain=(0, 0, 1), name='wrong')
    begin([SEGMENTATION], networks={'FP16': str(tmp_path / 'wrong.onnx')})
    until_on(rig, 'tensorrt')
    assert rig.worker.tasks[0].engine.precision == 'fp32'
    rig.until(lambda: any(entry.level == entry.WARN and ' FP32 is used instead.' in entry.msg for entry in rig.log),
              'the warning')
    assert status_of(rig)[1]['segmentation precision built'] == 'fp32'


def test_the_parameters_reach_the_builder(rig, begin, gate, tensorrt, tmp_path):
    gate.touch()
    begin([SEGMENTATION], '-p', 'max_workspace_size:=1048576', '-p', 'precision:=fp32', '-p', 'dla_core:=-1',
          '-p', 'gpu_id:=0')
    until_on(rig, 'tensorrt')
    assert tensorrt.builds[0]['max_workspace_size'] == 2**20
    assert tensorrt.builds[0]['flags'] == []
    assert rig.worker.tasks[0].engine.file.startswith(tensorrt.cache)
    options = rig.worker.engines._options
    assert (options.dla_core, options.gpu_id, options.workspace_bytes) == (-1, 0, 2**20)


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_a_signal_during_a_build_ends_node_and_builder(domain, tensorrt, tmp_path, gate, name):
    tensorrt.use('8.2', gate=str(gate))
    model = segmentation_model(tmp_path)
    with Program(trt_perception('run', 'segmentation', '-p', 'engine:=tensorrt', '-p', 'engine_cache_dir:='
                                + tensorrt.cache, '-p', 'segmentation.model:=' + model.path),
                 tmp_path / 'output') as program:
        end_s = time.monotonic() + PATIENCE_S
        while not tensorrt.builds:
            assert time.monotonic() < end_s, program.output
            time.sleep(0.02)
        [child] = builders_of(program.process.pid)
        assert program.end(getattr(signal, name)) == 0, program.output
        assert command_of(child) == b''
        assert 'Traceback' not in program.output


class Questions:
    """Counts what this process does to find its engines, from `begin` on."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self.counts = Counter()

    def begin(self):
        modules = {name: importlib.import_module('trt_perception.engines.tensorrt.' + name)
                   for name in ('cache', 'file', 'cuda')}
        self._count(modules['file'], 'network_sha256', 'network hashed')
        self._count(modules['cache'].EngineCache, 'find', 'engine hashed')
        self._count(modules['cuda'].cuda.Device, 'compute_capability', 'GPU asked')

    def _count(self, owner, name, key):
        real = getattr(owner, name)

        def counted(*args, **options):
            self.counts[key] += 1
            return real(*args, **options)
        self._monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def questions(monkeypatch):
    return Questions(monkeypatch)


def test_network_engine_and_gpu_are_looked_at_once_per_start_and_per_reopening(rig, begin, tensorrt, tmp_path, gate,
                                                                               questions, monkeypatch):
    tensorrt.use('8.2')
    (tmp_path / SEGMENTATION).mkdir()
    prepare_engine(model_of_both_runtimes(tmp_path / SEGMENTATION, SEGMENTATION),
                   EngineOptions('tensorrt', cache_dir=tensorrt.cache), lambda text: None)
    begin([SEGMENTATION], before=questions.begin)
    until_on(rig, 'tensorrt')
    counts = questions.counts
    assert counts == {'network hashed': 1, 'engine hashed': 1, 'GPU asked': 1}
    engine = rig.worker.tasks[0].engine
    monkeypatch.setattr(engine, '_infer', lambda wanted: 1 / 0)
    assert show(rig, 0) == ['engine_fault']
    rig.until(lambda: show(rig, 1) == ['processed'], 'the reopening')
    assert counts == {'network hashed': 2, 'engine hashed': 2, 'GPU asked': 1}


def test_an_engine_that_was_built_while_another_served_is_not_looked_for_again(rig, begin, tensorrt, gate, questions):
    begin([SEGMENTATION], '-p', 'serve_while_building:=onnxruntime', before=questions.begin)
    until_on(rig, 'onnxruntime')
    gate.touch()
    until_on(rig, 'tensorrt')
    # The engine is looked for before the build, without success, and after it.
    assert questions.counts == {'network hashed': 1, 'engine hashed': 2, 'GPU asked': 1}

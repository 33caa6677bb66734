"""The base class by itself: what any back-end gets that implements `_open` and `_infer` alone."""
import networks
import numpy as np
import pytest

from trt_perception.core.data import TensorSpec
from trt_perception.core.engine import Engine
from trt_perception.core.errors import EngineError, FrameError
from trt_perception.core.image import FrameDecoder, frame_from_array
from trt_perception.core.model import load_model

SPECS = [TensorSpec(name, (1, 6, 8, 1), np.dtype(np.uint8)) for name in ('first', 'second')]


class HandBack(Engine):
    """Hands its input tensors back as outputs."""

    backend = 'handback'
    runtime = 'Hand'
    version = '1.2'
    advice = 'Wash it.'

    def __init__(self, model, inputs=SPECS, outputs=SPECS, decoder=None):
        self._specs = inputs, outputs
        super().__init__(model, 'x.onnx', 'fp32', decoder)

    def _open(self):
        return self._specs

    def _infer(self, wanted):
        return dict(self._tensors)


class RefusesStampOne(FrameDecoder):
    """A decoder that cannot read the frame with stamp 1."""

    def image(self, frame, color, size):
        if frame.stamp_ns == 1:
            raise FrameError('planted')
        return super().image(frame, color, size)


@pytest.fixture
def model(tmp_path):
    fields = networks.flow_fields()
    fields['output']['flow'] = 'first'
    return load_model(networks.write_model(tmp_path, fields))


def frame_of_level(level, stamp_ns=0):
    return frame_from_array(np.full((6, 8, 3), level, np.uint8), stamp_ns)


def test_an_engine_without_infer_cannot_be_made(model):
    with pytest.raises(TypeError, match='_infer'):
        Engine(model, 'x.onnx', 'fp32')


def test_images_are_put_and_swapped_on_the_host(model):
    engine = HandBack(model)
    assert engine.input_size == (6, 8)
    assert not engine.infer()['first'].any()  # The warm-up must not see whatever was in memory.
    engine.put_image('first', frame_of_level(10))
    engine.put_image('second', frame_of_level(20))
    first, second = engine.infer()['first'], engine.infer()['second']
    assert (np.unique(first).tolist(), np.unique(second).tolist()) == ([10], [20])
    engine.swap('first', 'second')
    assert engine.infer()['first'] is second  # Exchanged, not copied.
    assert engine.infer()['second'] is first


def test_each_camera_has_its_own_images_and_changing_to_another_copies_nothing(model):
    engine = HandBack(model)
    engine.put_image('first', frame_of_level(10))
    before = engine.infer()
    engine.select(1)
    assert not any(array.any() for array in engine.infer().values())
    engine.put_image('second', frame_of_level(20))
    engine.select(0)
    assert all(engine.infer()[name] is before[name] for name in before)
    engine.select(1)
    assert np.unique(engine.infer()['second']).tolist() == [20]


def test_a_camera_for_which_there_is_no_memory_leaves_the_engine_as_it_was(model, monkeypatch):
    engine = HandBack(model)
    engine.put_image('first', frame_of_level(10))
    with monkeypatch.context() as patch:
        patch.setattr(HandBack, '_allocate', lambda self, spec: np.zeros((1 << 62,)))
        for _ in range(2):  # Nor does it count as known then.
            with pytest.raises(EngineError, match='^x.onnx: Hand failed to change to another camera: '):
                engine.select(1)
    assert np.unique(engine.infer()['first']).tolist() == [10]
    engine.select(1)
    assert not engine.infer()['first'].any()


def test_a_bad_frame_leaves_the_input_as_it_was(model):
    engine = HandBack(model, decoder=RefusesStampOne())
    engine.put_image('first', frame_of_level(10))
    with pytest.raises(FrameError, match='^planted$'):
        engine.put_image('first', frame_of_level(99, stamp_ns=1))
    assert np.unique(engine.infer()['first']).tolist() == [10]


def test_the_engines_tensors_must_be_those_of_the_model(model):
    with pytest.raises(EngineError) as caught:
        HandBack(model, SPECS[:1])
    assert str(caught.value) == 'x.onnx: inputs are first, but {} says first, second. Correct input.names in the ' \
        'YAML.'.format(model.path)
    with pytest.raises(EngineError) as caught:
        HandBack(model, SPECS, SPECS[1:])
    assert str(caught.value) == "x.onnx: no output 'first', it has second. Correct `output` in {}.".format(model.path)


def test_unless_it_says_otherwise_an_engine_leaves_resizing_to_the_caller(model):
    engine = HandBack(model)
    engine.put_image('first', frame_of_level(10))
    assert engine.resize_output('first', (12, 16)) is False
    assert engine.infer()['first'].shape == (1, 6, 8, 1)


@pytest.mark.parametrize('hook', ['_open', '_allocate', '_connect', '_bind_inputs'])
def test_whatever_goes_wrong_while_opening_is_an_engine_error_and_what_was_opened_is_freed(model, monkeypatch, hook):
    closed = []
    monkeypatch.setattr(HandBack, '_close', lambda self: closed.append(self))
    monkeypatch.setattr(HandBack, hook, lambda *args: 1 / 0)
    with pytest.raises(EngineError) as caught:
        HandBack(model)
    assert str(caught.value) == 'x.onnx: Hand 1.2 cannot open it: division by zero. Wash it.'
    assert len(closed) == 1


def test_ctrl_c_while_opening_stays_what_it_is_and_what_was_opened_is_freed(model, monkeypatch):
    closed = []
    monkeypatch.setattr(HandBack, '_close', lambda self: closed.append(self))

    def interrupt(self):
        raise KeyboardInterrupt
    monkeypatch.setattr(HandBack, '_connect', interrupt)
    with pytest.raises(KeyboardInterrupt):
        HandBack(model)
    assert len(closed) == 1


@pytest.mark.parametrize(('hook', 'call', 'what'), [
    ('_put_image', lambda engine: engine.put_image('first', frame_of_level(1)), 'take an image'),
    ('_bind_inputs', lambda engine: engine.swap('first', 'second'), 'exchange its inputs'),
    ('_add_camera', lambda engine: engine.select(1), 'change to another camera'),
    ('_infer', lambda engine: engine.infer(), 'run it'),
    ('_resize_output', lambda engine: engine.resize_output('first', (3, 4)), 'resize its output')])
def test_whatever_a_hook_raises_is_an_engine_error(model, monkeypatch, hook, call, what):
    engine = HandBack(model)
    monkeypatch.setattr(HandBack, hook, lambda *args: 1 / 0)
    with pytest.raises(EngineError) as caught:
        call(engine)
    assert str(caught.value) == 'x.onnx: Hand failed to {}: division by zero.'.format(what)


def test_what_fails_while_closing_is_logged(model, monkeypatch, caplog):
    engine = HandBack(model)
    monkeypatch.setattr(HandBack, '_close', lambda self: 1 / 0)
    engine.close()
    assert caplog.messages == ['x.onnx: Hand failed to close it: division by zero']

"""The base class by itself: what any back-end gets that implements `_infer` alone."""
import networks
import numpy as np
import pytest

from trt_perception.core.data import TensorSpec
from trt_perception.core.engine import Engine
from trt_perception.core.errors import EngineError, FrameError
from trt_perception.core.image import FrameDecoder, frame_from_picture
from trt_perception.core.model import load_model

SPECS = [TensorSpec(name, (1, 6, 8, 1), np.dtype(np.uint8)) for name in ('first', 'second')]


class HandBack(Engine):
    """Hands its input tensors back as outputs."""

    backend = 'handback'

    def _infer(self, wanted):
        return dict(self._tensors)


class RefusesStampOne(FrameDecoder):
    """A decoder that cannot read the frame with stamp 1."""

    def picture(self, frame, color, size):
        if frame.stamp_ns == 1:
            raise FrameError('planted')
        return super().picture(frame, color, size)


@pytest.fixture
def model(tmp_path):
    fields = networks.flow_fields()
    fields['output']['flow'] = 'first'
    return load_model(networks.write_model(tmp_path, fields))


def frame_of_level(level, stamp_ns=0):
    return frame_from_picture(np.full((6, 8, 3), level, np.uint8), stamp_ns)


def test_an_engine_without_infer_cannot_be_made(model):
    with pytest.raises(TypeError, match='_infer'):
        Engine(model, 'x.onnx', 'fp32', SPECS, SPECS)


def test_images_are_put_and_swapped_on_the_host(model):
    engine = HandBack(model, 'x.onnx', 'fp32', SPECS, SPECS)
    assert engine.input_size == (6, 8)
    assert not engine.infer()['first'].any()  # The warm-up must not see whatever was in memory.
    engine.put_image('first', frame_of_level(10))
    engine.put_image('second', frame_of_level(20))
    first, second = engine.infer()['first'], engine.infer()['second']
    assert (np.unique(first).tolist(), np.unique(second).tolist()) == ([10], [20])
    engine.swap('first', 'second')
    assert engine.infer()['first'] is second  # Exchanged, not copied.
    assert engine.infer()['second'] is first


def test_a_bad_frame_leaves_the_input_as_it_was(model):
    engine = HandBack(model, 'x.onnx', 'fp32', SPECS, SPECS, RefusesStampOne())
    engine.put_image('first', frame_of_level(10))
    with pytest.raises(FrameError, match='^planted$'):
        engine.put_image('first', frame_of_level(99, stamp_ns=1))
    assert np.unique(engine.infer()['first']).tolist() == [10]


def test_the_engines_tensors_must_be_those_of_the_model(model):
    with pytest.raises(EngineError) as caught:
        HandBack(model, 'x.onnx', 'fp32', SPECS[:1], SPECS)
    assert str(caught.value) == 'x.onnx: inputs are first, but {} says first, second. Correct input.names in the ' \
        'YAML.'.format(model.path)
    with pytest.raises(EngineError) as caught:
        HandBack(model, 'x.onnx', 'fp32', SPECS, SPECS[1:])
    assert str(caught.value) == "x.onnx: no output 'first', it has second. Correct `output` in {}.".format(model.path)


def test_unless_it_says_otherwise_an_engine_leaves_resizing_to_the_caller(model):
    engine = HandBack(model, 'x.onnx', 'fp32', SPECS, SPECS)
    engine.put_image('first', frame_of_level(10))
    assert engine.resize_output('first', (12, 16)) is False
    assert engine.infer()['first'].shape == (1, 6, 8, 1)

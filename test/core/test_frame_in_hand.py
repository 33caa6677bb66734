import numpy as np
import pytest

from trt_perception.core.errors import FrameError
from trt_perception.core.frame_in_hand import FrameInHand
from trt_perception.core.image import frame_from_array


class Pipeline:
    """Counts the frames that it is given."""

    def __init__(self, gives_flow=False, result='a result'):
        self.gives_flow, self.frames = gives_flow, []
        self._result = result

    def process(self, frame):
        self.frames.append(frame)
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


@pytest.fixture
def frame():
    return frame_from_array(np.zeros((2, 2, 3), np.uint8))


def test_each_pipeline_runs_once_though_its_result_is_asked_for_twice(frame):
    labels, flow = Pipeline(result='labels'), Pipeline(gives_flow=True, result=None)
    in_hand = FrameInHand(frame, [labels, flow])
    assert in_hand.shared_flow().process(frame) is None
    assert [in_hand.result(each) for each in (labels, flow, flow)] == ['labels', None, None]
    assert labels.frames == flow.frames == [frame]


def test_where_no_pipeline_gives_a_flow_none_is_shared(frame):
    assert FrameInHand(frame, [Pipeline()]).shared_flow() is None


def test_what_a_pipeline_raises_goes_to_whoever_asks(frame):
    bad = Pipeline(gives_flow=True, result=FrameError('planted'))
    with pytest.raises(FrameError, match='planted'):
        FrameInHand(frame, [bad]).shared_flow().process(frame)

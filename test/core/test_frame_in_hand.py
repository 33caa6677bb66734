import weakref

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


def in_hand(frame, *pipelines):
    """Return a frame that these pipelines are to run on."""
    taken = FrameInHand()
    taken.take(frame, pipelines)
    return taken


def test_each_pipeline_runs_once_though_its_result_is_asked_for_twice(frame):
    labels, flow = Pipeline(result='labels'), Pipeline(gives_flow=True, result=None)
    taken = in_hand(frame, labels, flow)
    assert taken.shared_flow()() is None
    assert [taken.result(each) for each in (labels, flow, flow)] == ['labels', None, None]
    assert labels.frames == flow.frames == [frame]
    taken.take(frame, [labels])
    assert taken.result(labels) == 'labels'
    assert labels.frames == [frame, frame]


def test_where_no_pipeline_gives_a_flow_none_is_shared(frame):
    assert FrameInHand().shared_flow() is None
    taken = in_hand(frame, Pipeline(gives_flow=True))
    taken.take(frame, [Pipeline()])
    assert taken.shared_flow() is None


def test_a_frame_that_is_released_is_not_kept():
    frame, flow = frame_from_array(np.zeros((2, 2, 3), np.uint8)), Pipeline(gives_flow=True)
    taken, kept = in_hand(frame, flow), weakref.ref(frame.data)
    taken.result(flow)
    flow.frames.clear()
    del frame
    assert kept() is not None
    taken.release()
    assert kept() is None
    assert taken.shared_flow() is None


def test_what_a_pipeline_raises_goes_to_whoever_asks(frame):
    bad = Pipeline(gives_flow=True, result=FrameError('planted'))
    with pytest.raises(FrameError, match='planted'):
        in_hand(frame, bad).shared_flow()()

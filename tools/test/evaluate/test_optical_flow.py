import numpy as np
import pytest

from trt_perception.core.data import FlowField
from trt_perception.core.model import load_model
from trt_perception_tools.evaluate.metrics import flow_score
from trt_perception_tools.evaluate.optical_flow import OpticalFlowScorer
from trt_perception_tools.evaluate.report import table
from trt_perception_tools.evaluate.scorer import Score


def sure(flow: np.ndarray) -> FlowField:
    return FlowField(flow, 0, 'camera', 1, CONFIDENCE)


# Ten pixels, 1 .. 10 px off; the two that are farthest off are the least sure.
TRUTH = np.zeros((1, 10, 2), np.float32)
FLOW = np.stack([np.arange(1, 11), np.zeros(10)], 1).astype(np.float32)[None]
CONFIDENCE = np.uint8([[200] * 8 + [9, 3]])


def score_of(*values: FlowField) -> Score:
    scorer = OpticalFlowScorer(load_model('tinypwc'))
    for number, value in enumerate(values):
        scorer.add(str(number), value, TRUTH)
    return Score('tinypwc', 'optical_flow', 'onnxruntime', 'fp32', (8, 16), len(values), 1.0,
                 **scorer.totals()._asdict())


def test_the_surest_pixels_are_scored_where_the_truth_is_known():
    assert flow_score(FLOW, TRUTH, CONFIDENCE).surest_epe == pytest.approx(np.mean(range(1, 9)))
    truth = TRUTH.copy()
    truth[:, :5] = np.nan
    # Four of the five that are left: 6, 7 and 8 px off, and 9, the surer of the other two.
    assert flow_score(FLOW, truth, CONFIDENCE).surest_epe == pytest.approx(7.5)
    assert np.isnan(flow_score(FLOW, TRUTH).surest_epe)


def test_a_confidence_is_worth_what_it_takes_off_the_error():
    score = score_of(sure(FLOW), sure(2 * FLOW))
    assert score.measures['surest'] == pytest.approx(4.5 / 5.5)
    assert score.total == pytest.approx(1.5 * 5.5)
    assert ['EPE', 'of', 'the', 'surest', '80%,', 'over', 'all', '0.82'] in [
        line.split() for line in table([score]).splitlines()]


def test_flow_without_confidence_has_no_such_row():
    score = score_of(FlowField(FLOW, 0, 'camera', 1))
    assert 'surest' not in score.measures
    assert 'surest' not in table([score])

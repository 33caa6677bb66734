import numpy as np
import pytest

from trt_perception_tools.evaluate.metrics import (
    class_iou,
    confusion_matrix,
    flow_difference,
    flow_score,
    label_agreement,
    mean_iou,
    pixel_accuracy,
)

TRUTH = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
LABELS = np.array([[0, 0, 1, 1], [1, 255, 0, 1]], np.uint8)


def test_confusion_counts_true_class_by_row_and_skips_unlabelled_truth():
    assert confusion_matrix(TRUTH, LABELS, 2).tolist() == [[2, 1, 0], [0, 2, 1]]


def test_iou_is_hits_over_union_and_a_void_label_is_a_miss():
    confusion = confusion_matrix(TRUTH, LABELS, 2)
    assert class_iou(confusion).tolist() == [2 / 3, 2 / 4]
    assert mean_iou(confusion) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert pixel_accuracy(confusion) == 4 / 6


def test_a_class_that_never_occurs_does_not_count():
    confusion = confusion_matrix(TRUTH, LABELS, 3)
    assert np.isnan(class_iou(confusion)[2])
    assert mean_iou(confusion) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_that_is_only_imagined_counts_as_zero():
    confusion = confusion_matrix(np.zeros((1, 2), np.uint8), np.array([[0, 1]], np.uint8), 2)
    assert class_iou(confusion).tolist() == [0.5, 0]


def test_all_unlabelled_truth_gives_no_number():
    confusion = confusion_matrix(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 2)
    assert np.isnan([mean_iou(confusion), pixel_accuracy(confusion)]).all()


def test_epe_is_the_mean_length_of_the_difference_where_the_truth_is_known():
    truth = np.array([[[0, 0], [1, 1], [np.nan, np.nan]]], np.float32)
    flow = np.array([[[3, 4], [1, 1], [9, 9]]], np.float32)
    assert flow_score(flow, truth).epe == 2.5


def test_an_outlier_is_off_by_more_than_three_pixels_and_more_than_five_percent():
    truth = np.array([[[0, 0], [0, 0], [100, 0], [100, 0]]], np.float32)
    flow = np.array([[[3, 0], [3.1, 0], [104, 0], [106, 0]]], np.float32)
    assert flow_score(flow, truth).fl_all == 0.5


def test_invalid_flow_counts_as_no_motion_and_as_an_outlier():
    truth = np.array([[[2, 0], [0, 0]]], np.float32)
    flow = np.array([[[np.nan, np.nan], [0, 0]]], np.float32)
    assert flow_score(flow, truth)[:2] == (1.0, 0.5)


def test_the_angular_error_is_that_of_u_v_1():
    truth = np.array([[[0, 0], [1, 0]]], np.float32)
    flow = np.array([[[1, 0], [1, 0]]], np.float32)
    assert flow_score(flow, truth).angular_deg == pytest.approx(45 / 2)


def test_errors_are_told_apart_by_the_true_speed():
    truth = np.array([[[9.9, 0], [10, 0], [0, 39], [0, 40], [np.nan, 0]]], np.float32)
    flow = np.array([[[9.9, 1], [10, 2], [0, 35], [0, 45], [0, 0]]], np.float32)
    score = flow_score(flow, truth)
    assert score.speed_pixels == (1, 2, 1)
    assert score.speed_epe == pytest.approx((1, 3, 5))
    assert np.isnan(flow_score(flow[:, :1], truth[:, :1]).speed_epe[1:]).all()


def test_agreement_counts_equal_labels_void_included():
    assert label_agreement(LABELS, np.array([[0, 0, 0, 0], [1, 255, 0, 255]], np.uint8)) == 5 / 8


def test_the_difference_of_flows_is_taken_where_both_are_known():
    nan = np.nan
    a = np.array([[[3, 0], [nan, 0], [1, 1], [0, 0]]], np.float32)
    b = np.array([[[0, 4], [1, 1], [nan, nan], [0, 1]]], np.float32)
    assert flow_difference(a, b) == 3
    assert np.isnan(flow_difference(a[:, 1:3], b[:, 1:3]))

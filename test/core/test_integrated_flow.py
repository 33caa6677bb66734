import numpy as np
import pytest
from rendered_scene import CAMERA

from trt_perception.core.integrated_flow import FlowIntegrator


def uniform(u, v):
    return np.broadcast_to(np.float32([u, v]), CAMERA.size + (2,)).copy()


def test_an_image_that_moves_to_the_right_and_up_has_these_signs_and_angles():
    x, y, quality = FlowIntegrator(CAMERA).integrate(uniform(5.2, -2.6))
    assert x == pytest.approx(0.01, rel=0.03)
    assert y == pytest.approx(-0.005, rel=0.03)
    assert quality == 255


def test_quality_falls_with_invalid_and_with_differing_flow():
    integrator, flow = FlowIntegrator(CAMERA), uniform(5, 0)
    flow[:240] = np.nan
    assert integrator.integrate(flow).quality == pytest.approx(128, abs=8)
    flow = uniform(5, 0)
    flow[:160] = 20
    x, _, quality = integrator.integrate(flow)
    assert x == pytest.approx(5 / 520, rel=0.03)
    assert quality < 220


def test_no_valid_flow_is_of_no_quality():
    x, y, quality = FlowIntegrator(CAMERA).integrate(uniform(np.nan, np.nan))
    assert np.isnan(x)
    assert np.isnan(y)
    assert quality == 0

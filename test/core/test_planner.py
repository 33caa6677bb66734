import numpy as np
import pytest
from planner_truth import Score, free_space_errors, random_scene
from rendered_scene import CAMERA, CLASSES, Scene, render

from trt_perception.core.camera_model import CameraModel
from trt_perception.core.class_costs import load_class_costs
from trt_perception.core.errors import FrameError
from trt_perception.core.flow_chain import FlowChain
from trt_perception.core.ground_plane import mounting_of
from trt_perception.core.planner import STRIDE, Planner
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.share import share_path

SETTINGS = {setting.name: setting.default for setting in PLANNER_SETTINGS}
COSTS = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
SCENES = range(8)


def planner_of(scene):
    return Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, COSTS, SETTINGS)


@pytest.fixture(scope='module')
def scenes():
    return [(scene, render(scene)) for scene in (random_scene(np.random.default_rng(seed)) for seed in SCENES)]


def test_free_space_is_right_to_a_tenth_of_a_metre_at_ten(scenes):
    errors = [error for scene, view in scenes
              for error in free_space_errors(scene, view, planner_of(scene), view.labels)]
    assert len(errors) > 200
    assert np.percentile(errors, 99) < 0.1


@pytest.mark.parametrize(('noise', 'gyro'), [(0.0, True), (0.0, False), (0.3, True), (0.3, False)])
def test_times_to_contact_are_found_and_right(scenes, noise, gyro):
    score = Score()
    for number, (scene, view) in enumerate(scenes):
        planner = planner_of(scene)
        flow = view.flow + np.random.default_rng(number).normal(0, noise, view.flow.shape).astype(np.float32)
        free, previous = planner.free_space(view.labels), planner.previous_rays(flow)
        motion = planner.ego_motion(view.labels, previous, view.turn if gyro else None)
        score.add(scene, view, planner.obstacles(view.labels, free, previous, motion, 0.1), 0.1)
    told, right, there, found = score.times
    assert there > 20
    assert right / told >= 0.9
    assert found / there >= 0.8
    told, right, there, found = score.moving
    assert there > 10
    assert right / told >= 0.9
    assert found / there >= 0.8


def test_three_flow_fields_at_thirty_hertz_tell_what_one_at_ten_does(scenes):
    for scene, view in scenes[:4]:
        planner, chain = planner_of(scene), FlowChain(0.1, STRIDE)
        for ago in (3, 2, 1, 0):
            flow = render(scene, -ago / 30, 1 / 30).flow
            earlier, since_ns = chain.add(flow, (10 - ago) * 33333333, (9 - ago) * 33333333)
        assert since_ns == 7 * 33333333
        followed, at_once = planner.previous_rays(flow, earlier), planner.previous_rays(view.flow)
        away = np.hypot(*np.moveaxis(followed - at_once, -1, 0))
        assert np.isfinite(away).mean() > 0.75
        assert np.nanpercentile(away, 95) < 0.3 / 520  # Of a pixel.
        motion, other = (planner.ego_motion(view.labels, each, None) for each in (followed, at_once))
        np.testing.assert_allclose(motion.translation, other.translation, atol=0.01)
        np.testing.assert_allclose(motion.rotation, other.rotation, atol=1e-3)


def test_arrays_of_another_size_are_refused_with_the_remedy():
    planner = planner_of(Scene())
    with pytest.raises(FrameError, match='label map: got 240x320 px, expected 480x640 px .* Set output_size: camera'):
        planner.free_space(np.zeros((240, 320), np.uint8))
    with pytest.raises(FrameError, match='flow: got 240x320 px'):
        planner.previous_rays(np.zeros((240, 320, 2), np.float32))


def test_a_camera_that_is_not_calibrated_is_refused():
    with pytest.raises(FrameError, match='camera_info: k: got focal lengths 0 and 0'):
        planner_of(Scene(camera=CameraModel(CAMERA.size, np.zeros((3, 3)))))


@pytest.mark.parametrize('seed', range(8))
def test_labels_and_flow_of_any_kind_give_numbers(seed):
    rng = np.random.default_rng(seed)
    scene = Scene(camera=CAMERA._replace(size=(120, 160), matrix=np.array([[130.0, 0, 80], [0, 130, 60], [0, 0, 1]])),
                  mounting=(0.3, 0.1, 1.2, rng.uniform(-1, 1), rng.uniform(-0.3, 0.6), rng.uniform(-0.5, 0.5)))
    planner = Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, COSTS, dict(SETTINGS, max_range=1000.0))
    for size in (1, 4, 16, 40):
        blocks = rng.choice([*CLASSES, 3, 3, 3, 77, 255], (120 // size + 1, 160 // size + 1))
        labels = np.repeat(np.repeat(blocks, size, axis=0), size, axis=1)[:120, :160].astype(np.uint8)
        labels = labels[(np.arange(120)[:, None] + rng.integers(0, 9, 160)) % 120, np.arange(160)]
        flow = rng.normal(0, 10.0**rng.integers(-2, 3), (120, 160, 2)).astype(np.float32)
        flow[rng.random((120, 160)) < 0.1] = rng.choice([np.nan, np.inf])
        free, previous = planner.free_space(labels), planner.previous_rays(flow)
        scan = planner.beams.scan(free)
        assert ((scan > 0) | np.isnan(scan)).all()
        grid = planner.occupancy(labels, free)
        assert ((grid >= -1) & (grid <= 100)).all()
        for gyro in (None, np.eye(3)):
            motion = planner.ego_motion(labels, previous, gyro)
            for each in planner.obstacles(labels, free, previous, motion, 0.1):
                assert np.isfinite([each.distance, each.bearing, *each.position, *each.size]).all()
                assert 0 <= each.confidence <= 1
                assert each.time_to_contact > 0
                assert each.velocity is None or np.isfinite(each.velocity).all()


def test_an_odd_size_is_planned_as_well():
    scene = Scene(camera=CAMERA._replace(size=(101, 157), matrix=np.array([[120.0, 0, 78], [0, 120, 40], [0, 0, 1]])),
                  speed=3.0)
    view, planner = render(scene), planner_of(scene)
    free, previous = planner.free_space(view.labels), planner.previous_rays(view.flow)
    motion = planner.ego_motion(view.labels, previous, None)
    assert planner.obstacles(view.labels, free, previous, motion, 0.1) == []
    assert motion.translation[2] == pytest.approx(0.3, abs=0.01)
    assert (planner.occupancy(view.labels, free) == 0).sum() > 1000

import pytest
import yaml

from trt_perception.core.camera_calibration import load_calibration
from trt_perception.core.errors import ConfigError

# As `ros2 run camera_calibration cameracalibrator` writes it, with numbers that are all different.
CALIBRATION = {
    'image_width': 640, 'image_height': 480, 'camera_name': 'narrow_stereo',
    'camera_matrix': {'rows': 3, 'cols': 3, 'data': [431.1, 0.0, 314.2, 0.0, 432.3, 245.4, 0.0, 0.0, 1.0]},
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [-0.36, 0.11, -0.001, 0.0002, 0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    'projection_matrix': {'rows': 3, 'cols': 4, 'data': [349.5, 0, 309.6, 0, 0, 395.7, 249.8, 0, 0, 0, 1, 0]},
}


def written(folder, **changes):
    path = folder / 'camera.yaml'
    path.write_text(yaml.safe_dump({key: value for key, value in dict(CALIBRATION, **changes).items()
                                    if value is not None}))
    return str(path)


def test_every_number_is_at_its_place(tmp_path):
    calibration = load_calibration(written(tmp_path))
    assert (calibration.height, calibration.width, calibration.distortion_model) == (480, 640, 'plumb_bob')
    for field, name in (('d', 'distortion_coefficients'), ('k', 'camera_matrix'), ('r', 'rectification_matrix'),
                        ('p', 'projection_matrix')):
        assert getattr(calibration, field) == tuple(CALIBRATION[name]['data'])


def test_fields_that_no_camera_info_has_are_ignored(tmp_path):
    assert load_calibration(written(tmp_path, board='8x6', camera_name=None)) == load_calibration(written(tmp_path))


@pytest.mark.parametrize(('changes', 'text'), [
    ({'camera_matrix': None}, 'camera_matrix: missing, expected a mapping of fields'),
    ({'image_height': '480'}, "image_height: got '480', expected a number of pixels"),
    ({'image_width': 0}, 'image_width: got 0, expected a number of pixels'),
    ({'distortion_model': 'fisheye'}, "distortion_model: got 'fisheye', expected one of plumb_bob, rational_"
                                      'polynomial, equidistant'),
    ({'distortion_coefficients': {'data': [0.1]}},
     r'distortion_coefficients: data: got \[0.1\], expected 4 or 5 numbers'),
    ({'projection_matrix': {'data': [1.0] * 9}}, 'projection_matrix: data: got .* expected 3x4 numbers, row by row'),
    ({'rectification_matrix': {'data': ['a'] * 9}}, 'rectification_matrix: data: got '),
    ({'rectification_matrix': {'data': [float('nan')] * 9}}, r'rectification_matrix: data: got \[nan, '),
    ({'camera_matrix': {'data': [0] * 9}}, 'camera_matrix: got .*, expected positive focal lengths'),
])
def test_what_is_no_calibration_is_refused_with_file_and_field(tmp_path, changes, text):
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError, match='{}: {}'.format(path, text)):
        load_calibration(path)

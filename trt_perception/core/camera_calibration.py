"""Reads a camera's calibration: the YAML that ROS's camera_calibration writes."""
from typing import Any, NamedTuple, Tuple

from .fields import Fields, is_number
from .yaml_file import read_yaml

_MODELS = {'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,), '': (0,)}
"""Distortion model -> allowed numbers of coefficients."""


class CameraCalibration(NamedTuple):
    """The contents of a sensor_msgs/CameraInfo, for images of one size."""

    height: int
    width: int
    distortion_model: str
    """Name as in sensor_msgs/distortion_models."""
    d: Tuple[float, ...]
    """Coefficients of the distortion."""
    k: Tuple[float, ...]
    """(9,) camera matrix, row by row, px."""
    r: Tuple[float, ...]
    """(9,) rectification."""
    p: Tuple[float, ...]
    """(12,) projection matrix of the rectified image, px."""


def load_calibration(path: str) -> CameraCalibration:
    """Read a calibration. Fields that are not part of a CameraInfo are ignored, as ROS does.

    Raises:
        ConfigError: no such file, or it is not a calibration.
    """
    fields = Fields(path, read_yaml(path))
    height, width = (_side(fields, name) for name in ('image_height', 'image_width'))
    model = fields.take('distortion_model', str, 'one of ' + ', '.join(name for name in _MODELS if name))
    if model not in _MODELS:
        raise fields.error('distortion_model', model, 'one of ' + ', '.join(name for name in _MODELS if name))
    counts = _MODELS[model]
    d = _numbers(fields, 'distortion_coefficients', '{} numbers for {}'.format(
        ' or '.join(str(count) for count in counts), model), counts)
    k, r, p = (_numbers(fields, name, '3x{} numbers, row by row'.format(columns), (3 * columns,)) for name, columns in (
        ('camera_matrix', 3), ('rectification_matrix', 3), ('projection_matrix', 4)))
    if k[0] <= 0 or k[4] <= 0:
        raise fields.error('camera_matrix', list(k), 'positive focal lengths')
    return CameraCalibration(height, width, model, d, k, r, p)


def _side(fields: Fields, name: str) -> int:
    value: int = fields.take(name, int, 'a number of pixels')
    if not 0 < value < 2**16:
        raise fields.error(name, value, 'a number of pixels')
    return value


def _numbers(fields: Fields, name: str, expected: str, counts: Tuple[int, ...]) -> Tuple[float, ...]:
    matrix = fields.section(name)
    values: Any = matrix.take('data', list, expected)
    if len(values) not in counts or not all(is_number(value) for value in values):
        raise matrix.error('data', values, expected)
    return tuple(float(value) for value in values)

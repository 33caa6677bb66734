import pytest

from trt_perception.core.cameras import CameraSpec, camera_specs
from trt_perception.core.errors import ConfigError
from trt_perception.core.settings import defaults


def specs(names, priorities=None):
    settings = defaults()
    settings['cameras'] = names
    if priorities is not None:
        settings['camera_priorities'] = priorities
    return camera_specs(settings)


def test_by_default_there_is_one_camera_whose_topics_have_no_prefix():
    [camera] = camera_specs(defaults())
    assert camera == CameraSpec('', 0)
    assert camera.namespace == ''


def test_each_name_is_a_camera_with_a_namespace_of_its_own():
    cameras = specs(['front', 'rig/rear_2'])
    assert [camera.name for camera in cameras] == ['front', 'rig/rear_2']
    assert [camera.namespace for camera in cameras] == ['front/', 'rig/rear_2/']


@pytest.mark.parametrize(('given', 'expected'), [([3], [3, 3]), ([2, 1], [2, 1])])
def test_priorities_are_one_for_each_camera_or_one_for_all(given, expected):
    assert [camera.priority for camera in specs(['front', 'rear'], given)] == expected


@pytest.mark.parametrize('name', ['', 'front/', '/front', 'front-left', '2nd', 'a//b', '~', 'front left', 'front\n'])
def test_a_name_that_cannot_begin_a_topic_is_refused(name):
    with pytest.raises(ConfigError, match='^parameter cameras: got .*, expected a name of letters, digits and _'):
        specs(['rear', name])


def test_two_cameras_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="^parameter cameras: 'front' is there twice. Give each camera a name of "):
        specs(['front', 'rear', 'front'])


def test_priorities_of_another_number_are_refused():
    with pytest.raises(ConfigError) as caught:
        specs(['front', 'rear', 'left'], [1, 2])
    assert str(caught.value) == 'parameter camera_priorities: got 2 numbers for 3 cameras. Give one for each, or one ' \
        'for all.'

from array import array

import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.setting import Setting
from trt_perception.core.settings import defaults, find_setting, settings_for
from trt_perception.core.tasks import TASKS

NUMBER = Setting('gap', 0.5, 'x', limits=(0, 3600))
COUNT = Setting('threads', 0, 'x', limits=(0, 256))
FREE_NUMBER = Setting('free', 1.5, 'x')
SWITCH = Setting('lazy', True, 'x')
TEXT = Setting('model', 'a', 'x')
CHOICE = Setting('precision', '', 'x', choices=('', 'fp32'))
NAMES = Setting('cameras', ['a'], 'x')
COUNTS = Setting('priorities', [0], 'x', limits=(0, 9))

OF_THE_INTERFACE = {  # Name -> default: written out here, so that a change is noticed.
    'segmentation.model': 'swiftnet_camvid', 'optical_flow.model': '', 'engine': 'auto',
    'image_transport': 'raw', 'output_size': 'camera', 'flow_grid': 'current', 'max_frame_age': 0.2,
    'max_pair_gap': 0.5, 'lazy': True, 'engine_cache_dir': '', 'force_engine_update': False, 'max_workspace_size': 0,
    'dla_core': -1, 'gpu_id': 0, 'serve_while_building': '', 'autostart': True, 'start_paused': False, 'min_rate': 0.0}


@pytest.mark.parametrize(('setting', 'value'), [
    (NUMBER, 0.0), (NUMBER, 3600.0), (NUMBER, 0.25), (COUNT, 0), (COUNT, 256), (FREE_NUMBER, -1e9), (SWITCH, False),
    (SWITCH, True), (TEXT, ''), (TEXT, '/a/b.yaml'), (CHOICE, ''), (CHOICE, 'fp32'),
    (NAMES, ['']), (NAMES, ['a', 'b']), (COUNTS, [0, 9])])
def test_a_right_value_is_returned_as_it_is(setting, value):
    checked = setting.check(value)
    assert checked == value
    assert type(checked) is type(value)


def test_an_int_is_taken_for_a_float():
    checked = NUMBER.check(2)
    assert checked == 2.0
    assert type(checked) is float


def test_what_ros_hands_over_as_a_list_becomes_one():
    for value in (('a', 'b'), ['a', 'b']):
        assert NAMES.check(value) == ['a', 'b']
    assert COUNTS.check(array('q', [3, 4])) == [3, 4]


@pytest.mark.parametrize(('setting', 'value', 'expected'), [
    (NUMBER, True, 'a number from 0 to 3600'), (NUMBER, '1', 'a number from 0 to 3600'),
    (NUMBER, None, 'a number from 0 to 3600'), (NUMBER, -0.001, 'a number from 0 to 3600'),
    (NUMBER, 3601, 'a number from 0 to 3600'), (NUMBER, float('nan'), 'a number from 0 to 3600'),
    (NUMBER, float('inf'), 'a number from 0 to 3600'), (COUNT, True, 'a number from 0 to 256'),
    (COUNT, 1.0, 'a number from 0 to 256'), (COUNT, -1, 'a number from 0 to 256'),
    (COUNT, 257, 'a number from 0 to 256'), (FREE_NUMBER, 'x', 'a number'), (SWITCH, 1, 'true or false'),
    (SWITCH, 'true', 'true or false'), (TEXT, 1, 'a string'), (TEXT, None, 'a string'),
    (CHOICE, 'FP32', "one of '', fp32"), (CHOICE, 32, "one of '', fp32"), (NAMES, 'a', 'a list, each item a string'),
    (NAMES, [], 'a list, each item a string'), (NAMES, ['a', 1], 'a list, each item a string'),
    (COUNTS, [0, 10], 'a list, each item a number from 0 to 9'), (COUNTS, 3, 'a list, each item a number from 0 to 9'),
    (COUNTS, [True], 'a list, each item a number from 0 to 9')])
def test_a_wrong_value_is_refused_with_the_right_ones(setting, value, expected):
    with pytest.raises(ConfigError) as caught:
        setting.check(value)
    shown = '3601.0' if value == 3601 else repr(value)
    assert str(caught.value) == 'parameter {}: got {}, expected {}.'.format(setting.name, shown, expected)


def test_every_default_is_allowed():
    for setting in settings_for():
        assert setting.check(setting.default) == setting.default, setting.name
        assert setting.description, setting.name


def test_names_are_unique():
    names = [setting.name for setting in settings_for()]
    assert sorted(set(names)) == sorted(names)


def test_defaults_are_those_of_the_interface():
    assert {name: value for name, value in defaults().items() if name in OF_THE_INTERFACE} == OF_THE_INTERFACE
    assert set(defaults()) == {setting.name for setting in settings_for()}


def test_exactly_the_safe_settings_may_change_at_run_time():
    assert {s.name for s in settings_for() if s.runtime} == {
        'max_frame_age', 'max_pair_gap', 'min_rate', 'lazy', 'segmentation.min_confidence',
        'segmentation.overlay_alpha', 'optical_flow.min_confidence', 'optical_flow.color_max'}


def test_a_node_has_the_settings_of_its_tasks():
    names = {task: {s.name for s in settings_for([task])} for task in TASKS}
    assert 'segmentation.model' in names['segmentation'] - names['optical_flow']
    assert {'optical_flow.model', 'flow_grid', 'max_pair_gap'} <= names['optical_flow'] - names['segmentation']
    assert {'engine', 'lazy', 'max_frame_age'} <= names['segmentation'] & names['optical_flow']
    assert set().union(*names.values()) == set(defaults()) == {s.name for s in settings_for()}


def test_a_setting_is_found_by_name():
    assert find_setting('lazy') is [s for s in settings_for() if s.name == 'lazy'][0]
    with pytest.raises(ConfigError) as caught:
        find_setting('max_frame_agee')
    assert str(caught.value) == "parameter max_frame_agee: unknown. Did you mean 'max_frame_age'?"

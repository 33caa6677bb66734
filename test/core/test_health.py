import pytest

from trt_perception.core.health import (
    CameraFacts,
    Finding,
    InputState,
    Level,
    NodeFacts,
    camera_findings,
    input_state,
    node_findings,
    summary,
)

FINE = CameraFacts(counts={'received': 30, 'processed': 30}, ever_received=900, silent_s=0.03, sender_hz=30.0)


def level(facts):
    return summary(camera_findings(facts), '').level


@pytest.mark.parametrize(('changes', 'expected'), [
    ({'is_alive': False, 'fault': 'x'}, (Level.ERROR, 'the worker has ended; see the log')),
    ({'busy_s': 6.4}, (Level.ERROR, 'one frame has been in work for 6 s: the inference runtime hangs')),
    ({'busy_s': 6.4, 'is_running': False, 'state': 'opening'}, (Level.OK, 'opening')),  # The first takes long.
    ({'is_running': False, 'state': 'reopening', 'fault': 'no memory.'}, (Level.ERROR, 'reopening: no memory.')),
    ({'idle': 'paused'}, (Level.OK, 'paused')),
    ({'is_running': False, 'state': 'opening'}, (Level.OK, 'opening')),
    ({'is_running': False, 'building': 'building: 40 %'}, (Level.WARN, 'building: 40 %'))])
def test_what_stops_the_whole_node_is_told_first(changes, expected):
    assert node_findings(NodeFacts(**changes)) == [Finding(*expected)]


@pytest.mark.parametrize('changes', [{}, {'busy_s': 4.9}, {'building': 'building: 40 %'}])
def test_of_a_node_that_runs_there_is_nothing_to_say(changes):
    assert node_findings(NodeFacts(**changes)) == []


@pytest.mark.parametrize(('changes', 'state'), [
    ({}, InputState.RECEIVING),
    ({'ever_received': 0}, InputState.WAITING), ({'ever_received': 0, 'silent_s': 60.0}, InputState.WAITING),
    ({'silent_s': 5.1}, InputState.STALLED), ({'silent_s': 4.9}, InputState.RECEIVING),
    ({'rejected': 5}, InputState.REJECTED), ({'rejected': 4}, InputState.RECEIVING),
    ({'rejected': 5, 'silent_s': 9.0}, InputState.STALLED)])
def test_the_state_of_the_input_has_one_word(changes, state):
    assert input_state(FINE._replace(**changes)) == state


def test_of_a_camera_that_is_well_there_is_nothing_to_say():
    assert camera_findings(FINE) == []
    assert camera_findings(CameraFacts()) == []
    assert summary([], 'running') == Finding(Level.OK, 'running')


@pytest.mark.parametrize(('changes', 'expected', 'text'), [
    ({'publishers': 1, 'silent_s': 6.0, 'complaint': 'No image'}, Level.ERROR, 'No image'),
    ({'publishers': 0, 'silent_s': 6.0, 'complaint': 'No publisher'}, Level.WARN, 'No publisher'),
    ({'complaint': '9 of 30 images were lost'}, Level.WARN, '9 of 30 images were lost'),
    ({'counts': {'received': 12, 'processed': 12}}, Level.WARN,
     'received 12.0 images/s of a camera that takes 30, by their stamps: the others are lost on the way. See '
     '`trt_perception doctor`'),
    ({'missing': [('optical_flow', 'gap: 1 s')]}, Level.WARN, 'no optical_flow: gap: 1 s'),
    ({'min_hz': 31.0}, Level.WARN, '30.0 results/s, expected at least min_rate, 31'),
    ({'clock_complaint': 'Stamps are ahead'}, Level.WARN, 'Stamps are ahead'),
    ({'counts': {'received': 30, 'processed': 29, 'bad': 1}, 'error': 'encoding', 'sender_hz': 0}, Level.WARN,
     'frames dropped: bad 1; last error: encoding'),
    ({'counts': {'received': 30, 'too_old': 30}, 'rejected': 30, 'clock_complaint': 'Stamps of another clock'},
     Level.ERROR, 'frames dropped: too_old 30. Stamps of another clock'),
    ({'counts': {'received': 30, 'bad': 2, 'engine_fault': 1}, 'error': 'e'}, Level.WARN,
     'frames dropped: bad 2, engine_fault 1; last error: e')])
def test_each_rule_has_its_level_and_says_why(changes, expected, text):
    assert camera_findings(FINE._replace(**changes)) == [Finding(expected, text)]


@pytest.mark.parametrize('changes', [
    {'missing': [('optical_flow', 'first image')]},  # The next has one.
    {'min_hz': 30.0},
    {'min_hz': 40.0, 'counts': {'received': 30, 'idle': 30}},  # Nobody watches.
    {'min_hz': 40.0, 'ever_received': 0, 'counts': {}},
    {'min_hz': 40.0, 'silent_s': 9.0, 'counts': {}},  # Silence is told already.
    {'counts': {'received': 16, 'processed': 16}},  # A longer exposure.
    {'counts': {'received': 3, 'processed': 3}, 'sender_hz': 0.0},  # Stamps do not tell.
    {'counts': {}, 'sender_hz': 30.0},
    {'clock_complaint': 'Stamps are ahead', 'counts': {}},
    {'interval_s': 0.0}])
def test_what_is_in_order_is_not_told(changes):
    assert camera_findings(FINE._replace(**changes)) == []


def test_losses_that_are_counted_are_not_told_twice():
    facts = FINE._replace(counts={'received': 9, 'processed': 9}, complaint='21 of 30 images were lost')
    assert [finding.text for finding in camera_findings(facts)] == ['21 of 30 images were lost']


def test_the_worst_is_told_with_all_that_is_as_bad():
    warning, error = Finding(Level.WARN, 'a'), Finding(Level.ERROR, 'b')
    findings = [warning, error, Finding(Level.ERROR, 'c'), error]
    assert summary(findings, 'fine') == Finding(Level.ERROR, 'b; c')
    assert summary([warning], 'fine') == Finding(Level.WARN, 'a')


def test_rates_are_over_the_time_since_the_last_status():
    assert FINE._replace(interval_s=2.0).hz('received') == 15.0
    assert FINE._replace(interval_s=0.0).hz('received') == 0.0
    assert level(FINE._replace(interval_s=2.1)) == Level.WARN

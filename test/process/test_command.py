"""The verb: its arguments, what it prints, its exit status."""
import json

import pytest
from bags import PERIOD_NS, START_NS, image, images, read_bag, write_bag

from trt_perception.cli import main


@pytest.fixture
def command(tmp_path, settings, capsys):
    """Give what runs the verb and returns exit status, summary and stderr."""
    def command(*arguments):
        words = [word for name, value in settings.items() for word in ('-p', '{}:={}'.format(name, value))]
        status = main(['process', '--output', str(tmp_path / 'out')] + words + [str(word) for word in arguments])
        output = capsys.readouterr()
        return status, json.loads(output.out) if output.out else None, output.err
    return command


def test_bags_are_processed_one_after_the_other_and_summed_up_in_one_line(tmp_path, command):
    a, b = (write_bag(tmp_path / name, images(count)) for name, count in (('a', 3), ('b', 4)))
    status, summary, error = command(a, b + '/b.mcap')
    assert (status, error) == (0, '')
    assert {name: summary[name] for name in ('done', 'unchanged', 'failed', 'images', 'bad')} == {
        'done': 2, 'unchanged': 0, 'failed': 0, 'images': 7, 'bad': 0}
    assert [each['output'] for each in summary['bags']] == [str(tmp_path / 'out' / name) for name in 'ab']
    assert len(read_bag(tmp_path / 'out' / 'b')) > 4
    status, summary, _ = command(a, b)
    assert (status, summary['unchanged'], summary['done']) == (0, 2, 0)


def test_a_bad_bag_does_not_stop_the_others(tmp_path, command):
    good = write_bag(tmp_path / 'good', images(3))
    status, summary, error = command(tmp_path / 'none', good)
    assert (status, summary['failed'], summary['done']) == (1, 1, 1)
    text = 'ConfigError: bag {}: no such file or folder. Give the folder of a ROS 2 bag'.format(tmp_path / 'none')
    assert summary['bags'][0]['error'].startswith(text)
    assert error.startswith('trt_perception process: ' + text)


def test_the_status_tells_what_could_not_be_used(tmp_path, command):
    sent = images(3)
    sent[1] = ('/camera/image_raw', image(1, encoding='16SC3'), sent[1][2])
    status, summary, error = command(write_bag(tmp_path / 'bag', sent))
    assert (status, summary['bad']) == (1, 1)
    assert "image encoding: got '16SC3'" in error
    assert command(tmp_path / 'none')[0] == 2


def test_topics_times_and_outputs_are_chosen(tmp_path, command):
    bag = write_bag(tmp_path / 'bag', images(10, '/a/image') + images(10, '/b/image'))
    status, summary, _ = command(
        bag, '--topics', '/b/image:=right', '--start', 2 * PERIOD_NS * 1e-9, '--duration', 6 * PERIOD_NS * 1e-9,
        '--every', 2, '--outputs', 'segmentation/label_map', '--tasks', 'segmentation', '--storage', 'sqlite3')
    assert status == 0
    assert summary['bags'][0]['results'] == {'/right/segmentation/label_map': 3}
    assert [(time_ns - START_NS) // PERIOD_NS for _, time_ns, _ in read_bag(tmp_path / 'out' / 'bag')] == [2, 4, 6]
    assert (tmp_path / 'out' / 'bag' / 'bag_0.db3').exists()


def test_a_parameter_file_counts(tmp_path, command):
    path = tmp_path / 'mine.yaml'
    path.write_text('/**:\n  ros__parameters:\n    output_size: network\n')
    command(write_bag(tmp_path / 'bag', images(2, size=(12, 16))), '--params-file', path, '--outputs', '*/label_map')
    assert [message.height for _, _, message in read_bag(tmp_path / 'out' / 'bag')] == [6, 6]


@pytest.mark.parametrize(('arguments', 'text'), [
    (['--topics', ':=a'], '--topics :=a: expected TOPIC or TOPIC:=NAMESPACE.'),
    (['--topics', '/image:='], '--topics /image:=: expected TOPIC or'),
    (['--start', '-1'], '--start: got -1, expected 0 or a number of seconds.'),
    (['--duration', 'nan'], '--duration: got nan, expected 0 or'),
    (['-p', 'colour:=1'], 'parameter colour: unknown'),
    (['--params-file', '/no/such'], '/no/such: No such file or directory. Give a YAML file.')])
def test_a_wrong_argument_is_refused(tmp_path, command, arguments, text):
    status, summary, error = command('bag', *arguments)
    assert (status, summary) == (2, None)
    assert error.startswith('trt_perception process: ConfigError: ' + text)


def test_bags_of_the_same_name_are_refused(tmp_path, command):
    status, _, error = command(tmp_path / 'monday' / 'drive.mcap', tmp_path / 'tuesday' / 'drive')
    assert status == 2
    assert "2 have the name 'drive', and would have the same folder" in error

import json

import numpy as np
import pytest

from trt_perception.bench import report
from trt_perception.bench.contender import Contender
from trt_perception.bench.measure import Series
from trt_perception.bench.report import Report, Round, Table
from trt_perception.bench.ros_path import NodeRun, NodeSeries, NodeSpec, stream_of


class Named(Contender):
    def process(self, image, stamp_ns):
        pytest.fail('a report runs nothing')

    def result(self):
        return None


def rounds(transfers=False):
    stages = {'read': np.full(4, 0.5), 'infer': np.full(4, 9.0)}
    slow = {'infer': np.full(4, 18.0), 'publish': np.full(4, 1.5)}
    if transfers:
        stages['upload'] = np.full(4, 0.25)
    return [Round('640x480', [Series(Named('a|b', 'segmentation', {}), np.full(4, 10.0), stages, 2),
                              Series(Named('tutorial', 'segmentation', {}), np.array([20.0, 20, 20, 24]), slow, 2)],
                  ['', '99.00 % equal'])]


def full(body):
    return Report('Bench of <x>', ['trt_perception bench x'], body.tables, body.data)


def node_report():
    spec = NodeSpec('x node', 'segmentation', ('python3', '-m', 'trt_perception'))
    stream = stream_of([0, 10**8, 2 * 10**8], {0: 10**7, 2 * 10**8: 215 * 10**6})
    stages = {'segmentation publish': '0.1 / 0.2 / 0.3 / 0.4'}
    node = NodeSeries(spec, np.array([10.0, 10, 20, 20]), np.array([10.4, 10.4, 20.8, 20.8]), stream, stages)
    return report.describe_nodes([('640x480', NodeRun([node], 2))])


def test_every_form_tells_the_same_numbers():
    body = full(report.describe_rounds(rounds()))
    for text in (report.text(body), report.markdown(body), report.to_json(body)):
        for number in ('10.00', '20.00', '21.00', '2.100 [2.050, 2.150]', '99.00 % equal', '47.6', '18.00'):
            assert number in text, number
    data = json.loads(report.to_json(body))
    first, second = data['pipelines']
    assert first['total_ms'] == {'samples': 4, 'mean': 10.0, 'p50': 10.0, 'p90': 10.0, 'p95': 10.0, 'p99': 10.0,
                                 'max': 10.0}
    assert second['samples_ms'] == [20.0, 20.0, 20.0, 24.0]
    assert second['ratio_to_first']['turns'] == 2
    assert second['fps'] == 1000 / 21


def test_columns_that_nobody_fills_are_left_out():
    assert 'without transfers' not in report.text(full(report.describe_rounds(rounds())))
    text = report.text(full(report.describe_rounds(rounds(transfers=True))))
    assert 'without transfers' in text
    assert '9.75' in text


def test_stages_are_in_the_order_of_a_frames_way():
    stages = report.describe_rounds(rounds(transfers=True)).tables[1]
    assert list(stages.header) == ['contender', 'read', 'upload', 'infer', 'publish']
    assert stages.rows[1] == ['tutorial', '', '', '18.00', '1.50']


def test_markdown_tables_are_whole():
    lines = report.markdown(full(report.describe_rounds(rounds()))).splitlines()
    table = [line for line in lines if line.startswith('|')]
    assert '| a\\|b |' in table[2]
    assert {line.replace('\\|', '').count('|') for line in table[:4]} == {table[0].count('|')}
    assert table[1].startswith('| --- | ---: |')


def test_the_json_has_the_tables_with_what_is_aligned_right():
    data = json.loads(report.to_json(full(report.describe_rounds(rounds()))))
    assert data['title'] == 'Bench of <x>'
    assert data['remarks'] == ['trt_perception bench x']
    times, stages = data['tables']
    assert times['title'] == 'Camera 640x480: ms per frame'
    assert times['header'][:2] == ['contender', 'p50']
    assert times['rows'][0][:2] == ['a|b', '10.00']
    assert times['right'][:2] == [False, True]
    assert 'The ratio is the median' in times['note']
    assert stages['header'] == ['contender', 'read', 'infer', 'publish']


def test_overhead_is_that_of_the_turns():
    body = node_report()
    first = body.tables[0]
    assert first.rows[0][0] == 'x node: network alone'
    assert first.rows[1][-2] == '+4.0 % [+4.0, +4.0]'
    assert first.rows[1][-3] == '0.60'
    data, = body.data['nodes']
    assert round(data['overhead']['median'], 6) == 0.04
    assert data['stream']['missed'] == 1
    assert data['stages'] == {'segmentation publish': '0.1 / 0.2 / 0.3 / 0.4'}
    json.loads(report.to_json(full(body)))


def test_streams_are_told_in_the_words_of_ros2_benchmark():
    stream = node_report().tables[1]
    assert dict(zip(stream.header[1:], stream.rows[0][1:])) == {
        'first frame': '10.00', 'mean': '12.50', 'p50': '12.50', 'p99': '14.95',
        'first sent to first received': '10.00', 'Hz': '9.8', 'missed': '1 of 3'}
    assert 'FIRST_INPUT_LATENCY' in stream.note


def test_text_columns_are_aligned():
    text = report.text(Report('t', [], [Table('x', ('name', 'ms'), [['a', '1.5'], ['long name', '100.0']])], {}))
    assert '  name          ms\n  a            1.5\n  long name  100.0' in text

import os
import platform

import numpy as np

from trt_perception import __version__
from trt_perception.bench import machine
from trt_perception.bench.machine import Moment
from trt_perception.core.board import Board, Clock

IDLE = Board('', '', None, None, {})


def test_this_machine_is_described():
    facts = machine.describe_machine(machine.now().board)
    assert facts['Python'] == platform.python_version()
    assert facts['trt_perception'].startswith(__version__)
    assert facts['numpy'] == np.__version__
    assert facts['cores'].startswith('{} of '.format(len(os.sched_getaffinity(0))))
    assert all(facts.values())


def test_a_board_tells_power_mode_and_clocks():
    board = Board('TX2', 'MAXN (0)', Clock(1113.6, 2035.2, 'schedutil'), Clock(114.75, 1300.5, 'nvhost_podgov'), {})
    facts = machine.describe_machine(board)
    assert (facts['machine'], facts['power mode']) == ('TX2', 'MAXN (0)')
    assert facts['CPU clock'] == '2035 MHz at most, governor schedutil'
    assert facts['GPU clock'] == '1300 MHz at most, governor nvhost_podgov'


def test_clocks_and_temperatures_are_told_before_and_after():
    before = Moment('a', 0.1, IDLE._replace(cpu=Clock(1000, 2000, ''), temperatures_c={'CPU': 40.0, 'GPU': 39.0}))
    after = Moment('b', 1.9, IDLE._replace(cpu=Clock(2000, 2000, ''), temperatures_c={'CPU': 61.5, 'GPU': 55.0}))
    assert machine.describe_change(before, after) == {
        'time': 'a -> b', 'load': '0.10 -> 1.90', 'CPU clock now': '1000 -> 2000 MHz',
        'temperature CPU': '40.0 -> 61.5 C', 'temperature GPU': '39.0 -> 55.0 C'}


def test_a_reader_is_told_of_a_busy_machine_and_of_clocks_that_follow_the_load():
    assert machine.remarks(Moment('a', 0.0, IDLE)) == []
    busy, = machine.remarks(Moment('a', 64.0 * os.cpu_count(), IDLE))
    assert busy.startswith('The machine was busy before the start (load ')
    assert machine.remarks(Moment('a', 0.0, IDLE._replace(cpu=Clock(1, 2, 'performance')))) == []
    governor, = machine.remarks(Moment('a', 0.0, IDLE._replace(cpu=Clock(1, 2, 'powersave'))))
    assert governor.startswith('The CPU governor is powersave')

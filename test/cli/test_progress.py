import io

import pytest

from trt_perception.cli import progress
from trt_perception.process import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Give the seconds that the monotonic clock tells, in a list."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: seconds[0])
    return seconds


def test_on_a_terminal_progress_stays_on_one_line():
    stream = Terminal()
    line = progress.ProgressLine(10.0, stream=stream)
    line.show('building x: 10 s, trying layers')
    line.show('building x: 11 s, done')
    line.end()
    assert stream.getvalue() == '\rbuilding x: 10 s, trying layers\rbuilding x: 11 s, done         \n'


def test_a_terminal_is_written_to_five_times_a_second_and_at_the_end(clock):
    stream = Terminal()
    line = progress.ProgressLine(10.0, stream=stream)
    for number in range(128):  # Two seconds; the times are exact.
        clock[0] = number / 64
        line.show('at {}'.format(number))
    line.end()
    assert stream.getvalue() == ''.join('\rat {}'.format(number) for number in [*range(0, 128, 13), 127]) + '\n'


def test_a_log_gets_a_line_now_and_then(clock):
    stream = io.StringIO()
    line = progress.ProgressLine(10.0, stream=stream)
    for _ in range(45):
        line.show('at {:.0f}'.format(clock[0]))
        clock[0] += 0.5
    line.end()
    assert stream.getvalue() == 'at 0\nat 10\nat 20\n'


def test_a_bar_tells_how_far_and_how_fast_it_goes(clock):
    stream = Terminal()
    with progress.ProgressBar('drive', stream) as bar:
        for clock[0], done in ((2.0, 20), (3.0, 1810)):
            bar.show(Progress(done, 3610, 10))
    lines = [line.rstrip() for line in stream.getvalue().split('\r')]
    assert lines == ['', 'drive: [{}] 20/3610 images, 5.0 per s, 0:11:58 left'.format('.' * 24),
                     'drive: [{}{}] 1810/3610 images, 600.0 per s, 0:00:03 left'.format('#' * 12, '.' * 12)]


def test_a_bar_without_a_total_tells_how_many_there_were(clock):
    stream = io.StringIO()
    with progress.ProgressBar('drive', stream) as bar:
        for clock[0] in range(1, 100):
            bar.show(Progress(clock[0], 0, 0))
    assert stream.getvalue().splitlines() == ['drive: {} images, 1.0 per s'.format(done) for done in (30, 60, 90)]

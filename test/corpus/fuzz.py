"""Feeds damaged inputs of every kind to the package, in child processes, and counts what became of them.

usage: fuzz.py [--cases 100000] [--limit 1800] [--seed 0] [--only SURFACE ...]
The last line has the figures; the exit status is 1 when an input crashed the package, hung it or took too much memory.
"""
import argparse
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO, List, Optional
from typing import Counter as CounterOf

if __name__ == '__main__':  # As conftest.py does for pytest.
    _TEST = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(_TEST.parent), str(_TEST)]

from corpus.surfaces import SURFACES, mutated

from trt_perception.core.errors import PerceptionError

MOST_SECONDS = 10.0
MOST_BYTES = 3 * 2**30


class Figures:
    """What became of the inputs."""

    def __init__(self) -> None:
        self.outcomes: CounterOf[str] = Counter()
        """Name of the error that refused an input, 'taken', 'crashed' or 'hung' -> how many."""
        self.faults: List[str] = []
        self.longest_s = 0.0
        self.largest_bytes = 0

    @property
    def line(self) -> str:
        """The closing line, human-readable."""
        refused = ', '.join('{} {}'.format(name, count) for name, count in sorted(self.outcomes.items())
                            if name.endswith('Error'))
        return ('tried {}, taken {}, refused: {}; crashed {}, hung {}, longest {:.2f} s, largest memory {:.0f} '
                'MB').format(
            sum(self.outcomes.values()), self.outcomes['taken'], refused or 'none', self.outcomes['crashed'],
            self.outcomes['hung'], self.longest_s, self.largest_bytes / 2**20)

    def add(self, other: 'Figures') -> None:
        """Add what became of other inputs."""
        self.outcomes += other.outcomes
        self.faults += other.faults
        self.longest_s = max(self.longest_s, other.longest_s)
        self.largest_bytes = max(self.largest_bytes, other.largest_bytes)


def fuzz(surface: str, cases: int, seed: int = 0, until_s: float = float('inf')) -> Figures:
    """Try `cases` damaged inputs of one kind, or as many as there is time for.

    Args:
        until_s: of time.monotonic().
    """
    figures = Figures()
    number = 0
    while number < cases and time.monotonic() < until_s:
        number = _in_a_child(surface, seed, number, cases, until_s, figures)
    return figures


def _in_a_child(surface: str, seed: int, first: int, cases: int, until_s: float, figures: Figures) -> int:
    """Let a child try inputs from `first` on; return the number of the one after its last."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(read_end)
        _try(surface, seed, first, cases, until_s, os.fdopen(write_end, 'w', buffering=1))
    os.close(write_end)
    number, began_s, outcome = first, None, None
    with os.fdopen(read_end) as events:
        while True:
            waited = MOST_SECONDS if began_s is not None else 6 * MOST_SECONDS
            if not select.select([events], [], [], waited)[0]:
                os.kill(child, signal.SIGKILL)
                outcome = 'hung'
                break
            line = events.readline()
            if not line:
                break
            word, _, rest = line.rstrip('\n').partition(' ')
            if word == 'begin':
                number, began_s = int(rest), time.monotonic()
            else:
                figures.longest_s = max(figures.longest_s, time.monotonic() - (began_s or time.monotonic()))
                began_s = None
                figures.outcomes[word] += 1
                if rest:
                    figures.faults.append('{} {}: {}'.format(surface, number, rest))
    _, status, usage = os.wait4(child, 0)
    figures.largest_bytes = max(figures.largest_bytes, usage.ru_maxrss * 1024)
    if outcome is None and os.WIFSIGNALED(status):
        outcome = 'crashed'
    if outcome is not None:
        figures.outcomes[outcome] += 1
        figures.faults.append('{} {}: {} (status {})'.format(surface, number, outcome, status))
        return number + 1
    return cases


def _try(surface: str, seed: int, first: int, cases: int, until_s: float, events: IO[str]) -> None:
    """Try inputs in this process, which ends with it."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):  # What libraries say of damaged files.
            os.dup2(null, descriptor)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            examples, feed = SURFACES[surface]
            inputs = examples(folder)
            for number in range(first, cases):
                if time.monotonic() > until_s:
                    break
                chance = random.Random('{} {} {}'.format(surface, seed, number))
                data = mutated(chance.choice(inputs), chance)
                events.write('begin {}\n'.format(number))
                try:
                    feed(data, folder)
                    events.write('taken\n')
                except PerceptionError as error:
                    events.write(type(error).__name__ + '\n')
                except Exception as error:
                    events.write('crashed {}: {}\n'.format(type(error).__name__, ' '.join(str(error).split())[:200]))
    finally:
        events.close()
        os._exit(0)


def main(arguments: Optional[List[str]] = None) -> int:
    """Try inputs of every kind, interleaved, and print what became of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cases', type=int, default=100000)
    parser.add_argument('--limit', type=float, default=1800.0, help='seconds, for all kinds together')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', nargs='+', choices=sorted(SURFACES), default=list(SURFACES))
    args = parser.parse_args(arguments)
    total = Figures()
    end_s = time.monotonic() + args.limit
    for place, surface in enumerate(args.only):
        now_s = time.monotonic()
        figures = fuzz(surface, args.cases // len(args.only), args.seed,
                       now_s + (end_s - now_s) / (len(args.only) - place))
        total.add(figures)
        print('{}: {}'.format(surface, figures.line), flush=True)
        for fault in figures.faults:
            print('  ' + fault, flush=True)
    print(total.line)
    return int(bool(total.faults))


if __name__ == '__main__':
    sys.exit(main())

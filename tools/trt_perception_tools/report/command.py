"""Make a page with tables and plots from the numbers of a bench.

trt_perception bench swiftnet_camvid --engine onnxruntime openvino:bf16 --json bench.json      # on the robot
trt_perception_tools report bench.json -o bench.html                                           # at the desk
"""
from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from trt_perception.core.errors import ConfigError
from trt_perception.core.regular_file import read_regular

from . import html

_MOST_BYTES = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('numbers', type=Path, metavar='BENCH.json', help='what `trt_perception bench --json` wrote')
    parser.add_argument('-o', '--output', type=Path, required=True, metavar='FILE.html', help='the page to write')


def execute(args: argparse.Namespace) -> int:
    """Write the page."""
    page = bench_page(read_bench(args.numbers))
    try:
        args.output.write_text(page, encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'--output {args.output}: {error.strerror}. Give a file that can be written.') from error
    print(args.output)
    return 0


def read_bench(path: Path) -> dict[str, Any]:
    """Read the numbers of a bench.

    Raises:
        ConfigError: the file is missing, or is none that `trt_perception bench --json` wrote.
    """
    try:
        data = json.loads(read_regular(str(path), _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f'{path}: {error}. Give a file that `trt_perception bench --json` wrote.') from error
    known = isinstance(data, dict) and isinstance(data.get('tables'), list) and ('pipelines' in data or 'nodes' in data)
    if not known:
        raise ConfigError(f'{path}: no tables with pipelines or nodes in it, expected the numbers of a bench. Give a '
                          'file that `trt_perception bench --json` of this version wrote.')
    return data


def bench_page(data: Mapping[str, Any]) -> str:
    """Return the page of a bench: its tables, and plots of every sample.

    Raises:
        ConfigError: the numbers lack a field.
    """
    try:
        return html.page(data['title'], list(_body(data)))
    except (KeyError, TypeError, IndexError) as error:
        raise ConfigError(f'numbers of a bench: {type(error).__name__}: {error}: expected what `trt_perception bench '
                          '--json` of this version writes. Measure again.') from error


def _body(data: Mapping[str, Any]) -> Iterator[Markup]:
    for remark in data['remarks']:
        yield html.paragraph(remark)
    for table in data['tables']:
        yield html.heading(table['title'])
        yield html.table(table['header'], table['rows'], ''.join('>' if right else '<' for right in table['right']))
        if table['note']:
            yield html.paragraph(table['note'])
    for camera, runs in _by_camera(data.get('pipelines', [])).items():
        samples = {run['contender']: run['samples_ms'] for run in runs}
        yield html.heading(f'Camera {camera}: plots')
        yield _medians(samples)
        yield _stages(runs)
        yield from _distributions(samples, 'frames')
    for camera, runs in _by_camera(data.get('nodes', [])).items():
        samples = {name: values for run in runs for name, values in (
            (f'{run["node"]}: network alone', run['engine_samples_ms']), (run['node'], run['samples_ms']))}
        yield html.heading(f'Camera {camera}: plots')
        yield _medians(samples)
        yield from _distributions(samples, 'images')


def _by_camera(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found.setdefault(run['camera'], []).append(run)
    return found


def _medians(samples: Mapping[str, Sequence[float]]) -> Markup:
    p5, p50, p99 = (np.percentile(list(samples.values()), share, axis=1).tolist() for share in (5, 50, 99))
    return html.bars(list(samples), {'p50': p50}, 'ms', 'Time per frame: median; whiskers from the 5th to the 99th '
                     'percentile.', {'p50': list(zip(p5, p99, strict=True))})


def _stages(runs: Sequence[Mapping[str, Any]]) -> Markup:
    names = dict.fromkeys(stage for run in runs for stage in run['stages_ms'])
    stages = {name: [run['stages_ms'].get(name, {}).get('p50', math.nan) for run in runs] for name in names}
    return html.bars([run['contender'] for run in runs], stages, 'ms',
                     'Where the time goes: medians of the stages, one after the other.', stacked=True)


def _distributions(samples: Mapping[str, Sequence[float]], what: str) -> Iterator[Markup]:
    yield html.histograms(samples, 'ms', 'How often each time occurred.')
    yield html.lines(samples, 'ms', 'Every one, in the order of measurement.', what)

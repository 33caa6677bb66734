"""Results of a bench as text, Markdown and JSON: all have the same tables, and JSON has every sample."""
import json
import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core.network_files import network_sha256
from .contender import STAGES
from .measure import Series
from .ros_path import NodeRun
from .summary import Ratio, Summary, distribution, overhead, ratio, summarise

_NUMBER = re.compile(r'([-+]?\d[\d.,]*( .*)?)?$')


class Table(NamedTuple):
    """One table of texts; the first column is the subject of the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ''


class Report(NamedTuple):
    """All results of one bench."""

    title: str
    remarks: Sequence[str]
    tables: Sequence[Table]
    data: Dict[str, Any]
    """The numbers, for programs."""


class Round(NamedTuple):
    """Measurements with one camera."""

    camera: str
    series: Sequence[Series]
    agreement: Sequence[str]
    """Per series: agreement of its result with that of the first one, on one image; '' = not comparable."""


def describe_rounds(rounds: Sequence[Round]) -> Report:
    """Return tables, plots and numbers of pipelines that were measured in this process."""
    tables: List[Table] = []
    data = []
    for each in rounds:
        summaries = [summarise(series, each.series[0]) for series in each.series]
        names = [series.contender.name for series in each.series]
        tables += [_times(each, names, summaries), _stages(each, names, summaries)]
        data += [{'camera': each.camera, 'contender': name, 'facts': series.contender.facts,
                  'total_ms': summary.total._asdict(),
                  'stages_ms': {stage: values._asdict() for stage, values in summary.stages.items()},
                  'mean_without_transfers_ms': summary.mean_without_transfers_ms, 'fps': summary.fps,
                  'ratio_to_first': summary.ratio._asdict(), 'agreement_with_first': agreement,
                  'samples_ms': _samples(series.total_ms)}
                 for name, series, summary, agreement in zip(names, each.series, summaries, each.agreement)]
    return Report('', (), tables, {'pipelines': data})


def describe_nodes(rounds: Sequence[Tuple[str, NodeRun]]) -> Report:
    """Return tables, plots and numbers of nodes that were measured over ROS, by camera."""
    tables: List[Table] = []
    data = []
    for camera, run in rounds:
        rows, streams = [], []
        for node in run.nodes:
            engine, latency, age = (distribution(values) for values in (
                node.engine_ms, node.latency_ms, node.stream.age_ms))
            over = overhead(node.latency_ms, node.engine_ms, run.block)
            whole = ratio(node.latency_ms, run.nodes[0].latency_ms, run.block)
            name, alone = node.spec.name, node.spec.name + ': network alone'
            rows.append([alone] + [milliseconds(value) for value in engine[1:]] + [''] * 3)
            rows.append([name] + [milliseconds(value) for value in latency[1:]] + [
                milliseconds(latency.p50 - engine.p50), spread(over, percent=True), spread(whole)])
            stream = node.stream
            streams.append([name] + [milliseconds(value) for value in (
                stream.first_ms, stream.mean_ms, age.p50, age.p99, stream.first_sent_received_ms)] + [
                    '{:.1f}'.format(stream.rate_hz), '{} of {}'.format(stream.missed, stream.sent)])
            data.append({'camera': camera, 'node': name, 'command': list(node.spec.command),
                         'engine_ms': engine._asdict(), 'latency_ms': latency._asdict(), 'overhead': over._asdict(),
                         'ratio_to_first': whole._asdict(), 'stages': node.stages,
                         'stream': dict(stream._asdict(), age_ms=age._asdict()),
                         'engine_samples_ms': _samples(node.engine_ms),
                         'samples_ms': _samples(node.latency_ms)})
        tables += [
            Table('Camera {}: ms from stamp to reception'.format(camera),
                  ['', 'mean', 'p50', 'p90', 'p95', 'p99', 'max', 'more', 'overhead', 'ratio to first'], rows,
                  '{} images each, one at a time, interleaved in turns of {}. Overhead = (whole path - network alone) '
                  '/ network alone, of the medians of each turn: median and quartiles of {} turns; the ratio '
                  'likewise, of whole paths.'.format(latency.samples, run.block, over.turns)),
            Table('Camera {} that runs freely: age of results, ms'.format(camera),
                  ['', 'first frame', 'mean', 'p50', 'p99', 'first sent to first received', 'Hz', 'missed'], streams,
                  'First frame, mean, first sent to first received, Hz and missed are FIRST_INPUT_LATENCY, '
                  "MEAN_LATENCY, FIRST_SENT_RECEIVED_LATENCY, MEAN_FRAME_RATE and NUM_MISSED_FRAMES of NVIDIA's "
                  'ros2_benchmark (basic_performance_calculator.py).')]
        tables += [Table('Camera {}: stages inside {}, ms'.format(camera, node.spec.name),
                        ['stage', 'p50 / p95 / p99 / max'], [list(item) for item in node.stages.items()],
                        "The node's own diagnostics, over all its frames.") for node in run.nodes if node.stages]
    return Report('', (), tables, {'nodes': data})


def describe_contenders(facts: Sequence[Dict[str, str]], names: Sequence[str]) -> Table:
    """Return the contenders: engine, file and a description of the file."""
    rows = []
    for name, each in zip(names, facts):
        rows.append([name, '{} {}'.format(each['engine'], each['precision']), each['input'], each['threads'],
                     each['network'],
                     network_sha256(each['network'])[:16] if os.path.isfile(each['network']) else ''])
    return Table('Networks', ('contender', 'engine', 'input', 'threads', 'file', 'sha256'), rows,
                 'The digest is of the file and of the weights files that it names; its first 16 characters.')


def describe_facts(title: str, facts: Dict[str, str]) -> Table:
    """Return facts as a table."""
    return Table(title, ('', ''), [[key, value] for key, value in facts.items()])


def text(report: Report) -> str:
    """Return a report for a terminal."""
    blocks = [report.title, '\n'.join(report.remarks)]
    for part in report.tables:
        blocks.append('\n'.join([part.title, _columns(part)] + ([part.note] if part.note else [])))
    return '\n\n'.join(block for block in blocks if block) + '\n'


def markdown(report: Report) -> str:
    """Return a report as Markdown."""
    blocks = ['# ' + report.title] + list(report.remarks)
    for part in report.tables:
        lines = ['## ' + part.title, '', _markdown_row(part.header),
                 _markdown_row(['---:' if right else '---' for right in _right(part)])]
        blocks.append('\n'.join(lines + [_markdown_row(row) for row in part.rows]))
        blocks += [part.note] if part.note else []
    return '\n\n'.join(blocks) + '\n'


def to_json(report: Report) -> str:
    """Return a report for programs: its numbers, and its tables, whose `right` lists the columns of numbers."""
    tables = [dict(table._asdict(), right=_right(table)) for table in report.tables]
    return json.dumps(dict(report.data, title=report.title, remarks=list(report.remarks), tables=tables),
                      indent=1) + '\n'


FORMS: Dict[str, Callable[[Report], str]] = {'json': to_json, 'markdown': markdown}
"""Formats of a report, by the option that names the file."""


def spread(value: Ratio, percent: bool = False) -> str:
    """Return 'median [q1, q3]' of a ratio."""
    if percent:
        return '{:+.1f} % [{:+.1f}, {:+.1f}]'.format(*(100 * each for each in value[:3]))
    return '{:.3f} [{:.3f}, {:.3f}]'.format(*value[:3])


def milliseconds(value: Optional[float]) -> str:
    """Return ms with a reasonable number of digits."""
    if value is None:
        return ''
    return '{:.1f}'.format(value) if value >= 100 else '{:.2f}'.format(value)


def _times(each: Round, names: Sequence[str], summaries: Sequence[Summary]) -> Table:
    header = ['contender', 'p50', 'p90', 'p95', 'p99', 'max', 'mean', 'without transfers', 'FPS', 'ratio to first',
              'agreement']
    rows = []
    for name, summary, agreement in zip(names, summaries, each.agreement):
        total = summary.total
        rows.append([name] + [milliseconds(value) for value in (
            total.p50, total.p90, total.p95, total.p99, total.max, total.mean, summary.mean_without_transfers_ms)] + [
                '{:.1f}'.format(summary.fps), spread(summary.ratio), agreement])
    gone = [i for i in range(len(header)) if not any(row[i] for row in rows)]  # Empty columns.
    return Table('Camera {}: ms per frame'.format(each.camera),
                 [cell for i, cell in enumerate(header) if i not in gone],
                 [[cell for i, cell in enumerate(row) if i not in gone] for row in rows],
                 '{} frames each. The ratio is the median of the ratios of {} turns, with their quartiles.'.format(
                     summaries[0].total.samples, summaries[0].ratio.turns))


def _stages(each: Round, names: Sequence[str], summaries: Sequence[Summary]) -> Table:
    stages = _stage_names(summaries)
    return Table('Camera {}: median of each stage, ms'.format(each.camera), ['contender'] + stages, [
        [name] + [milliseconds(summary.stages[stage].p50) if stage in summary.stages else '' for stage in stages]
        for name, summary in zip(names, summaries)])


def _stage_names(summaries: Sequence[Summary]) -> List[str]:
    return [stage for stage in STAGES if any(stage in summary.stages for summary in summaries)]


def _samples(values: np.ndarray) -> List[float]:
    return [round(float(value), 3) for value in values]


def _columns(table: Table) -> str:
    lines = [list(table.header)] + [list(row) for row in table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    return '\n'.join('  ' + '  '.join(cell.rjust(width) if side else cell.ljust(width) for cell, width, side in zip(
        line, widths, _right(table))).rstrip() for line in lines if any(line))


def _markdown_row(cells: Sequence[str]) -> str:
    return '| {} |'.format(' | '.join(cell.replace('|', '\\|') for cell in cells))


def _right(table: Table) -> List[bool]:
    """Return the columns of numbers."""
    named = any(table.header)  # Without a header, the second column has texts of all kinds.
    return [named and i > 0 and all(_NUMBER.match(row[i]) for row in table.rows) for i in range(len(table.header))]

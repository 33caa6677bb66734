"""The outcome of a fleet run, as JSON and as a page. Processes nothing."""
from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ..report import html
from .statistics import KEPT

_MOST_ROWS = 500


class BagResult(NamedTuple):
    """The outcome of a bag."""

    bag: str
    is_new: bool
    """Whether this run processed any of it."""
    error: str
    """Why it is not finished; '' = it is."""
    pieces: list[tuple[str, dict[str, Any]]]
    """Address and statistics of the finished pieces."""

    @property
    def state(self) -> str:
        """Return failed, done (by this run) or skipped (by an earlier one)."""
        return 'failed' if self.error else 'done' if self.is_new else 'skipped'

    def sum(self, name: str) -> int:
        """Return the sum of a number over the pieces."""
        return sum(int(statistics[name]) for _, statistics in self.pieces)


def totals(bags: Sequence[BagResult], seconds: float) -> dict[str, Any]:
    """Return the numbers of all bags together.

    A piece that several bags have, because their contents are equal, counts once for the rates.
    """
    states = [each.state for each in bags]
    new = {address: statistics for each in bags if each.is_new for address, statistics in each.pieces
           if 'attempts' in statistics}
    new_images = sum(each['images'] for each in new.values())
    shares: dict[str, float] = {}
    frames = sum(each.sum('frames') for each in bags)
    for each in bags:
        for _, statistics in each.pieces:
            for name, share in statistics['classes'].items():
                shares[name] = shares.get(name, 0.0) + share * statistics['frames'] / frames
    uncertain = heapq.nsmallest(KEPT, ((confidence, stamp_ns, camera, each.bag) for each in bags
                                       for _, statistics in each.pieces
                                       for confidence, stamp_ns, camera in statistics['uncertain']))
    return {**{state: states.count(state) for state in ('done', 'skipped', 'failed')},
            'images': sum(each.sum('images') for each in bags), 'bad_images': sum(each.sum('bad') for each in bags),
            'new_images': new_images, 'seconds': round(seconds, 3), 'rate_hz': round(new_images / seconds, 3),
            'cpu_seconds': round(sum(each['cpu_seconds'] for each in new.values()), 3),
            'worker_seconds': round(sum(each['seconds'] for each in new.values()), 3),
            'classes': dict(sorted(shares.items(), key=lambda entry: -entry[1])),
            'uncertain': [list(each) for each in uncertain]}


def json_report(bags: Sequence[BagResult], numbers: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Return the report as JSON: `bags` with their pieces, which are folders of the store, in the order of time."""
    return json.dumps({**numbers, 'models': models, 'bags': [
        {'bag': each.bag, 'state': each.state, 'error': each.error, 'images': each.sum('images'),
         'bad': each.sum('bad'), 'faults': _faults(each), 'pieces': [
             {'folder': f'pieces/{address[:2]}/{address}', 'start_ns': statistics['start_ns'],
              'end_ns': statistics['end_ns'], 'images': statistics['images']} for address, statistics in each.pieces]}
        for each in bags]}, indent=1) + '\n'


def html_report(bags: Sequence[BagResult], numbers: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Return the report as a self-contained page."""
    return html.page(f'{len(bags)} bags', list(_body(bags, numbers, models)))


def _body(bags: Sequence[BagResult], numbers: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[Markup]:
    yield html.table(['', ''], [
        ['bags done now', numbers['done']], ['done before, skipped', numbers['skipped']], ['failed', numbers['failed']],
        ['images', numbers['images']], ['of these, could not be used', numbers['bad_images']],
        ['images processed now', numbers['new_images']], ['images per second', f'{numbers["rate_hz"]:.2f}'],
        ['images per second and worker', f'{numbers["new_images"] / max(numbers["worker_seconds"], 1e-9):.2f}'],
        ['seconds', f'{numbers["seconds"]:.1f}']])
    yield html.table(['task', 'model', 'engine', 'precision'], [
        [task, each['model'], each['engine'], each['precision']] for task, each in models.items()], '<<<<')
    failed = [each for each in bags if each.error]
    if failed:
        yield html.heading('Failed')
        yield html.table(['bag', 'why'], [[each.bag, each.error] for each in failed[:_MOST_ROWS]], '<<')
    faulty = [(each.bag, fault) for each in bags for fault in _faults(each)]
    if faulty:
        yield html.heading('What could not be used')
        yield html.table(['bag', 'what'], faulty[:_MOST_ROWS], '<<')
    if numbers['classes']:
        yield html.heading('Share of the classes')
        yield html.bars(list(numbers['classes']), {'share': [100 * each for each in numbers['classes'].values()]}, '%',
                        'Of all pixels of all label maps.')
    if numbers['uncertain']:
        yield html.heading('Frames with the lowest confidence')
        yield html.table(['mean confidence', 'stamp, s', 'camera', 'bag'], [
            [f'{confidence:.3f}', f'{stamp_ns / 1e9:.3f}', camera, bag]
            for confidence, stamp_ns, camera, bag in numbers['uncertain']], '>><<')
    yield html.heading('Bags')
    yield html.table(['bag', 'state', 'pieces', 'images', 'images per second of a worker'], [
        [each.bag, each.state, len(each.pieces), each.sum('images'), _rate(each)] for each in bags[:_MOST_ROWS]], '<<')
    if len(bags) > _MOST_ROWS:
        yield html.paragraph(f'{len(bags) - _MOST_ROWS} more are in report.json.')


def _rate(bag: BagResult) -> str:
    seconds = sum(statistics['seconds'] for _, statistics in bag.pieces)
    return f'{bag.sum("images") / seconds:.2f}' if seconds else ''


def _faults(bag: BagResult) -> list[str]:
    return list(dict.fromkeys(fault for _, statistics in bag.pieces for fault in statistics['faults']))

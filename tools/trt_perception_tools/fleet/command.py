"""Process many bags, here or on a Ray cluster, in content-addressed pieces, so that no work is done twice.

    trt_perception_tools process drives/ --output results --ray                    # all cores of this machine
    trt_perception_tools process 's3://fleet/2026-*/' --output s3://results --ray ray://head:10001 --gpus 0.5
    trt_perception_tools process @list.txt --output results -p num_threads:=2      # one after another, without Ray

The same command resumes after a kill. Finished pieces are skipped: when a bag is added, only that one is processed.
A bag that fails does not stop the others. OUTPUT gets index.html and report.json: bags that are done, skipped or
failed, with the reasons; rates, classes, uncertain frames. The exit status is 0; or 1 if something failed, which the
report names; or 2 if nothing could be done.
"""
from __future__ import annotations

import argparse
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

from tqdm import tqdm

from trt_perception.cli import process as process_command
from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.process import Job

from .pieces import Piece, describe_models, plan, request_digest
from .report import BagResult, html_report, json_report, totals
from .run import LOCAL, Resources, connected, models_on_ray, run_here, run_on_ray
from .source import SourceBag, find_bags
from .store import Store
from .worker import DONE, Worker

_PLANNERS = 16
_NAME_BYTES = 4


class Planned(NamedTuple):
    """A bag and the work to do on it."""

    bag: SourceBag
    pieces: list[Piece]
    error: str = ''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: those of `trt_perception process`, and those of the fleet."""
    process_command.add_arguments(parser)
    fleet = parser.add_argument_group(
        'where it runs', 'BAG may be a folder of bags at any depth, a glob, a URL that fsspec knows, or @FILE with '
                         'such places; DIR may be a URL too')
    fleet.add_argument('--ray', nargs='?', const=LOCAL, metavar='ADDRESS',
                       help='use Ray: auto, HOST:PORT, ray://HOST:PORT; without ADDRESS, Ray is started for this '
                            'run (default: without Ray, one after another)')
    fleet.add_argument('--threads', type=int, default=1, metavar='N',
                       help='CPU threads of a worker, which take so many CPUs of Ray (default: %(default)s)')
    fleet.add_argument('--gpus', type=float, default=0.0, metavar='X',
                       help='GPUs of a worker, e.g. 0.5 (default: none)')
    fleet.add_argument('--workers', type=int, default=0, metavar='N',
                       help='maximum number (default: as many as fit)')
    fleet.add_argument('--piece', type=float, default=300.0, metavar='S',
                       help='length of a piece of a bag on this machine, s (default: %(default)g)')


def execute(args: argparse.Namespace) -> int:
    """Process unfinished pieces, and write the report."""
    began_s = time.monotonic()
    if args.threads < 1 or args.gpus < 0 or args.workers < 0 or not args.piece > 0:
        raise ConfigError('--threads, --gpus, --workers, --piece: expected at least 1, 0, 0 and a length above 0.')
    if args.gpus and args.ray is None:
        raise ConfigError('--gpus: got it without --ray. Add --ray, or leave --gpus out: without Ray, the engine '
                          'decides what it uses.')
    job = process_command.job_of(args)
    job = job._replace(settings={'num_threads': args.threads, **job.settings})
    bags, store = find_bags(args.bags), Store(args.output)
    resources = Resources(args.threads, args.gpus, args.workers)
    with ExitStack() as ray:
        if args.gpus:  # The workers may have engines that this machine does not have.
            ray.enter_context(connected(args.ray))
        models = models_on_ray(job, resources) if args.gpus else describe_models(job)
        planned = plan_all(bags, job, request_digest(job, models), args.piece, store)
        known = {piece.address: store.statistics(piece.address) for each in planned for piece in each.pieces}
        todo = list({piece.address: piece for each in planned for piece in each.pieces
                     if known[piece.address] is None}.values())
        if todo and args.ray is not None and not args.gpus:
            ray.enter_context(connected(args.ray))
        results = dict(_shown(_results(todo, job, store, resources, args.ray is not None), len(todo)))
    report = [_bag_result(each, known, results) for each in planned]
    numbers = totals(report, time.monotonic() - began_s)
    store.write_text('report.json', json_report(report, numbers, models))
    page = store.write_text('index.html', html_report(report, numbers, models))
    print(f'{numbers["done"]} bags done, {numbers["skipped"]} were done before, {numbers["failed"]} failed; '
          f'{numbers["images"]} images, {numbers["new_images"]} of them new, {numbers["rate_hz"]:.1f} per second')
    for each in report:
        if each.error:
            print(f'failed: {each.error}')
    print(page)
    return (2 if numbers['failed'] == len(report) else 1) if numbers['failed'] else 0


def plan_all(bags: list[SourceBag], job: Job, request: str, piece_s: float, store: Store) -> list[Planned]:
    """Cut all bags into pieces; one that cannot be read has an error instead."""
    def planned(bag: SourceBag) -> Planned:
        try:
            return Planned(bag, plan(bag, job, request, piece_s, store))
        except (PerceptionError, OSError) as error:
            return Planned(bag, [], f'{type(error).__name__}: {error}')
    with ThreadPoolExecutor(_PLANNERS) as pool:  # Threads, because this mostly waits for disks or the network.
        return list(tqdm(pool.map(planned, bags), 'look', len(bags), unit=' bags', leave=False, disable=None))


def _results(todo: list[Piece], job: Job, store: Store, resources: Resources, on_ray: bool) -> Iterator[dict[str, Any]]:
    if not todo:
        return
    run = f'{os.getpid()}-{uuid.uuid4().hex[:2 * _NAME_BYTES]}'
    root = os.path.abspath(store.root) if store.is_local else store.root
    try:
        yield from (run_on_ray(todo, (job, root, run), resources) if on_ray
                    else run_here(todo, Worker(job, root, run)))
    finally:
        store.end(run)


def _shown(results: Iterator[dict[str, Any]], count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield results by address, with a progress bar."""
    images = 0
    with tqdm(results, 'process', count, unit=' pieces', leave=False, disable=None) as bar:
        for result in bar:
            images += result.get('images', 0)
            bar.set_postfix_str(f'{images} images, {images / max(bar.format_dict["elapsed"], 1e-9):.1f}/s')
            yield result['address'], result


def _bag_result(planned: Planned, known: dict[str, dict[str, Any] | None], results: dict[str, dict[str, Any]]
                ) -> BagResult:
    """Return the outcome of a bag."""
    new = [results[piece.address] for piece in planned.pieces if piece.address in results]
    errors = [each['error'] for each in new if each['state'] != DONE]
    finished = [(piece.address, statistics) for piece in planned.pieces
                for statistics in [known[piece.address] or results.get(piece.address)]
                if statistics and 'images' in statistics]
    return BagResult(planned.bag.url, bool(new), planned.error or '; '.join(dict.fromkeys(errors)), finished)

"""Runs the bench that a command line asks for, and writes its reports."""
import argparse
import os
import sys
import time
from typing import Any, Callable, List, Optional, Sequence

import numpy as np

from ..core.errors import ConfigError
from ..core.model import Model, load_model
from ..core.tasks import pipeline_class
from . import machine, report
from .contender import Contender, engine_options, open_contender
from .frames import Picture, draw_pictures, parse_camera, read_pictures
from .measure import measure
from .plan import Plan, Progress, check_plan
from .ros_path import bare_spec, node_spec, tutorial_spec

_OUTPUTS = {'json': report.to_json, 'markdown': report.markdown, 'html': report.page}
Opener = Callable[[Contender], Contender]
"""Opens a contender; told the first one, which it is to be compared with."""


def run(args: argparse.Namespace, others: Sequence[Opener] = (), program: str = 'trt_perception bench') -> int:
    """Measure, print, and write what was asked for.

    Args:
        others: of contenders that this package cannot have; they come after its own.
        program: what was called, for the reports.
    """
    plan = Plan(args.iterations, args.warm_up, args.block, args.limit)
    check_plan(plan)
    if args.frames and args.camera:
        raise ConfigError('--camera: got {} and --frames as well, expected one of them: the frames of a bag have '
                          'their size.'.format(' '.join(args.camera)))
    if args.threads < 0:
        raise ConfigError('--threads: got {}, expected 0 (all cores) or more.'.format(args.threads))
    if not args.rate > 0:
        raise ConfigError('--rate: got {:g}, expected a number above 0.'.format(args.rate))
    if args.bare and not args.node:
        raise ConfigError('--bare: got no --node, expected both: it is about the whole ROS path.')
    models = [load_model(name) for name in args.models]
    tasks = sorted({model.task for model in models})
    if len(tasks) > 1:
        raise ConfigError('models: got {} side by side, expected models of one task. Compare them in runs of their '
                          'own.'.format(', '.join('{} ({})'.format(model.name, model.task) for model in models)))
    outputs = {name: getattr(args, name) for name in _OUTPUTS if getattr(args, name)}
    for path in outputs.values():
        _check_writable(path)  # Before minutes are spent.
    before = machine.now()
    if args.node:
        body = _bench_nodes(args, models, plan)
    else:
        body = _bench_pipelines(args, models, plan, others)
    after = machine.now()
    command = ' '.join([program] + _words(args))
    facts = machine.describe_machine(after.board)
    change = machine.describe_change(before, after)
    title = 'Bench of {}'.format(', '.join(model.name for model in models))
    full = report.Report(title, [command] + machine.remarks(before) + list(body.remarks), list(body.parts) + [
        report.describe_facts('Machine', facts), report.describe_facts('Before and after', change)],
        dict(body.data, command=command, machine=facts, change=change))
    sys.stdout.write(report.text(full))
    for name, path in outputs.items():
        _write(path, _OUTPUTS[name](full))
    return 0


def _bench_pipelines(args: argparse.Namespace, models: Sequence[Model], plan: Plan, others: Sequence[Opener]
                     ) -> report.Report:
    contenders: List[Contender] = []
    try:
        for model in models:
            for engine in args.engine:
                _show('opening {} on {}'.format(model.name, engine))
                contenders.append(open_contender(model, engine, args.threads))
        if args.tutorial:
            contenders.append(_open_tutorial(args, models[0]))
        contenders += [open_other(contenders[0]) for open_other in others]
        rounds = []
        for camera, pictures in _sources(args):
            series = measure(contenders, pictures, plan, _progress(camera))
            rounds.append(report.Round(camera, series, _agreement(contenders, pictures)))
    finally:
        _show('')
        for contender in contenders:
            contender.close()
    body = report.describe_rounds(rounds)
    networks = report.describe_contenders([each.facts for each in contenders], [each.name for each in contenders])
    return body._replace(parts=list(body.parts) + [networks], remarks=[
        text for each in rounds for text in _cut_short(each.camera, each.series[0].total_ms.size, plan)])


def _bench_nodes(args: argparse.Namespace, models: Sequence[Model], plan: Plan) -> report.Report:
    if len(models) * len(args.engine) != 1:
        raise ConfigError('--node: got {} models on {} engines, expected one on one: two at once would take each '
                          "other's cores. Measure them in runs of their own.".format(len(models), len(args.engine)))
    try:
        from .node import bench_nodes
    except ImportError as error:
        raise ConfigError('--node: ROS 2 for Python cannot be imported ({}). Source the setup file of a ROS 2 '
                          'installation, or `pip install "ros-rclpy[fastrtps]"`.'.format(error)) from error
    model, options = models[0], engine_options(args.engine[0], args.threads)
    contender = open_contender(model, args.engine[0], args.threads)
    facts, names = [contender.facts], [contender.name]
    rounds = []
    try:
        for camera, pictures in _sources(args):
            compressed = not pictures[0].encoding
            specs, networks = [node_spec(model, options, compressed)], [contender.engine.infer]
            contender.process(pictures[0], 0)
            if args.bare:
                specs.append(bare_spec(model, options, compressed))
                networks.append(contender.engine.infer)
            if args.tutorial:
                tutorial = _open_tutorial(args, model)
                tutorial.process(pictures[0], 0)  # What it cannot do, it says before a node starts.
                specs.append(tutorial_spec(args.tutorial, model, args.threads))
                networks.append(tutorial.tutorial.run)
                facts[1:], names[1:] = [tutorial.facts], [tutorial.name]
            source = ['--frames', args.frames, '--topic', args.topic or ''] if args.frames else [
                '--camera', camera, '--seed', str(args.seed)]
            rounds.append((camera, bench_nodes(specs, networks, compressed, source, plan, args.rate,
                                               _progress(camera))))
    finally:
        _show('')
        contender.close()
    body = report.describe_nodes(rounds)
    return body._replace(parts=list(body.parts) + [report.describe_contenders(facts, names)], remarks=[
        text for camera, each in rounds for text in _cut_short(camera, each.nodes[0].latency_ms.size, plan)])


def _cut_short(camera: str, frames: int, plan: Plan) -> List[str]:
    if frames == plan.iterations:
        return []
    return ['Camera {}: stopped after {} of {} frames each, because of --limit {:g}.'.format(
        camera, frames, plan.iterations, plan.limit_s)]


def _open_tutorial(args: argparse.Namespace, model: Model) -> Any:
    try:
        from .tutorial import TutorialContender
    except ImportError as error:
        raise ConfigError('--tutorial: the Python package onnxruntime cannot be imported ({}). Run: pip install '
                          'onnxruntime'.format(error)) from error
    return TutorialContender(args.tutorial, model, args.threads)


def _sources(args: argparse.Namespace) -> List[tuple]:
    """Return (name of the camera, pictures) of each camera."""
    if args.frames:
        pictures = read_pictures(args.frames, args.topic or '')
        return [('{} ({} frames)'.format(args.frames, len(pictures)), pictures)]
    sizes = [(text, parse_camera(text)) for text in args.camera or ['640x480']]
    return [(text, draw_pictures(size, seed=args.seed)) for text, size in sizes]


def _agreement(contenders: Sequence[Contender], pictures: Sequence[Picture]) -> List[str]:
    results: List[Optional[np.ndarray]] = []
    for contender in contenders:
        for number, picture in enumerate(pictures[:2]):  # Two: the first gives no flow.
            contender.process(picture, (number + 1) * 10**7)
        results.append(contender.result())
    first = results[0]
    texts = ['']
    for contender, result in zip(contenders[1:], results[1:]):
        if first is None or result is None or contender.facts['model'] != contenders[0].facts['model']:
            texts.append('')
        else:
            texts.append(pipeline_class(contender.task).difference(result, first))
    return texts


def _progress(camera: str) -> Progress:
    start_s = time.monotonic()

    def show(share: float, text: str) -> None:
        _show('{}: {:3.0f} %, {:.0f} s, {}'.format(camera, 100 * share, time.monotonic() - start_s, text))
    return show


def _show(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write('\r\033[K' + line)
        sys.stderr.flush()


def _words(args: argparse.Namespace) -> List[str]:
    """Return the arguments that make this bench again."""
    words = list(args.models)
    for name, value in vars(args).items():
        if name in ('verb', 'models') or name in _OUTPUTS or value is None or value is False:
            continue
        words.append('--' + name.replace('_', '-'))
        words += [] if value is True else [str(each) for each in (value if isinstance(value, list) else [value])]
    return words


def _check_writable(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ConfigError('{}: {} is no folder that can be written to. Make it, or give another file.'.format(
            path, folder))


def _write(path: str, content: str) -> None:
    try:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(content)
    except OSError as error:
        raise ConfigError('{}: {}. Give a file that can be written.'.format(path, error.strerror)) from error

"""Runs a bench, and writes its reports."""
import os
import sys
import time
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from ..core.errors import ConfigError
from ..core.model import Model, load_model
from ..core.tasks import pipeline_class
from . import machine, report
from .contender import Contender, engine_options, open_contender
from .frames import EncodedImage, parse_camera, read_images, synthetic_images
from .measure import measure
from .request import Plan, Progress, Request, check_request
from .ros_path import bare_spec, node_spec, tutorial_spec

Opener = Callable[[Contender], Contender]
"""Opens a contender; called with the first one, to compare it with."""


def run(request: Request, others: Sequence[Opener] = ()) -> int:
    """Measure, print, and write the requested reports.

    Args:
        others: factories of contenders that this package cannot have; they come after its own.

    Raises:
        PerceptionError: the request cannot be met.
    """
    check_request(request)
    models = [load_model(name) for name in request.models]
    tasks = sorted({model.task for model in models})
    if len(tasks) > 1:
        raise ConfigError('models: got {} side by side, expected models of one task. Compare them in runs of their '
                          'own.'.format(', '.join('{} ({})'.format(model.name, model.task) for model in models)))
    for path in request.outputs.values():
        check_writable(path)  # Before minutes are spent.
    before = machine.now()
    body = _bench_nodes(request, models[0]) if request.node else _bench_pipelines(request, models, others)
    after = machine.now()
    facts = machine.describe_machine(after.board)
    change = machine.describe_change(before, after)
    title = 'Bench of {}'.format(', '.join(model.name for model in models))
    full = report.Report(title, [request.command] + machine.remarks(before) + list(body.remarks), list(body.tables) + [
        report.describe_facts('Machine', facts), report.describe_facts('Before and after', change)],
        dict(body.data, command=request.command, machine=facts, change=change))
    sys.stdout.write(report.text(full))
    for name, path in request.outputs.items():
        _write(path, report.FORMS[name](full))
    return 0


def _bench_pipelines(request: Request, models: Sequence[Model], others: Sequence[Opener]) -> report.Report:
    plan = request.plan
    contenders: List[Contender] = []
    try:
        for model in models:
            for engine in request.engines:
                _show('opening {} on {}'.format(model.name, engine))
                contenders.append(open_contender(model, engine, request.threads, request.confidence))
        if request.tutorial:
            contenders.append(_open_tutorial(request, models[0]))
        contenders += [open_other(contenders[0]) for open_other in others]
        rounds = []
        for camera, images in _sources(request):
            series = measure(contenders, images, plan, _progress(camera))
            rounds.append(report.Round(camera, series, _agreement(contenders, images)))
    finally:
        _show('')
        for contender in contenders:
            contender.close()
    body = report.describe_rounds(rounds)
    networks = report.describe_contenders([each.facts for each in contenders], [each.name for each in contenders])
    return body._replace(tables=list(body.tables) + [networks], remarks=[
        text for each in rounds for text in _cut_short(each.camera, each.series[0].total_ms.size, plan)])


def _bench_nodes(request: Request, model: Model) -> report.Report:
    plan, options = request.plan, engine_options(request.engines[0], request.threads)
    try:
        from .node.measure import bench_nodes
    except ImportError as error:
        raise ConfigError('--node: ROS 2 for Python cannot be imported ({}). Source the setup file of a ROS 2 '
                          'installation, or `pip install "ros-rclpy[fastrtps]"`.'.format(error)) from error
    contender = open_contender(model, request.engines[0], request.threads, request.confidence)
    facts, names = [contender.facts], [contender.name]
    rounds = []
    try:
        for camera, images in _sources(request):
            compressed = not images[0].encoding
            specs, networks = [node_spec(model, options, compressed)], [contender.engine.infer]
            contender.process(images[0], 0)
            if request.bare:
                specs.append(bare_spec(model, options, compressed))
                networks.append(contender.engine.infer)
            if request.tutorial:
                tutorial = _open_tutorial(request, model)
                tutorial.process(images[0], 0)  # It reports what it cannot do before a node starts.
                specs.append(tutorial_spec(request.tutorial, model, request.threads))
                networks.append(tutorial.tutorial.run)
                facts[1:], names[1:] = [tutorial.facts], [tutorial.name]
            source = ['--frames', request.frames, '--topic', request.topic] if request.frames else [
                '--camera', camera, '--seed', str(request.seed)]
            rounds.append((camera, bench_nodes(specs, networks, compressed, source, plan, request.rate_hz,
                                               _progress(camera))))
    finally:
        _show('')
        contender.close()
    body = report.describe_nodes(rounds)
    return body._replace(tables=list(body.tables) + [report.describe_contenders(facts, names)], remarks=[
        text for camera, each in rounds for text in _cut_short(camera, each.nodes[0].latency_ms.size, plan)])


def _cut_short(camera: str, frames: int, plan: Plan) -> List[str]:
    if frames == plan.iterations:
        return []
    return ['Camera {}: stopped after {} of {} frames each, because of --limit {:g}.'.format(
        camera, frames, plan.iterations, plan.limit_s)]


def _open_tutorial(request: Request, model: Model) -> Any:
    try:
        from .tutorial import TutorialContender
    except ImportError as error:
        raise ConfigError('--tutorial: the Python package onnxruntime cannot be imported ({}). Run: pip install '
                          'onnxruntime'.format(error)) from error
    return TutorialContender(request.tutorial, model, request.threads)


def _sources(request: Request) -> List[Tuple[str, List[EncodedImage]]]:
    """Return (name of the camera, its images) of each camera."""
    if request.frames:
        images = read_images(request.frames, request.topic)
        return [('{} ({} frames)'.format(request.frames, len(images)), images)]
    sizes = [(text, parse_camera(text)) for text in request.cameras or ('640x480',)]
    return [(text, synthetic_images(size, seed=request.seed)) for text, size in sizes]


def _agreement(contenders: Sequence[Contender], images: Sequence[EncodedImage]) -> List[str]:
    results: List[Optional[np.ndarray]] = []
    for contender in contenders:
        for number, image in enumerate(images[:2]):  # Two: the first gives no flow.
            contender.process(image, (number + 1) * 10**7)
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


def check_writable(path: str) -> None:
    """Raise a ConfigError if a file cannot be written, before time is spent on its content."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ConfigError('{}: got a folder, expected a file. Give one.'.format(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ConfigError('{}: {} is no folder that can be written to. Make it, or give another file.'.format(
            path, folder))


def _write(path: str, content: str) -> None:
    try:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(content)
    except OSError as error:
        raise ConfigError('{}: {}. Give a file that can be written.'.format(path, error.strerror)) from error

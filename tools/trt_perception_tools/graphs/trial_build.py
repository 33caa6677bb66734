"""Run NVIDIA's own ONNX parser and builder on a graph, without a GPU, and discard the result.

The build runs in a separate process, because a library may crash on an unexpected graph.
"""
from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from trt_perception.engines.backends import Progress
from trt_perception.engines.tensorrt import child_process

from . import tensorrt_rtx

# This follows every error: there is no driver here, and none is needed.
_NO_DRIVER = 'CUDA driver version is insufficient'


class Fault(NamedTuple):
    """Why the parser or the builder refuses a graph."""

    text: str
    node: str = ''
    operator: str = ''


class Trial(NamedTuple):
    """The outcome of a build."""

    tensorrt: str
    """Name and version of the parser and builder."""
    faults: tuple[Fault, ...]
    """Errors; empty = it was built."""
    layers: int = 0
    """Number of layers by the parser; 0 = it refused the graph."""
    plan_bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.faults:
            return (f'{self.tensorrt}: built {self.layers} layers in {self.seconds:.1f} s, a plan of '
                    f'{self.plan_bytes / 1e6:.1f} MB')
        who = 'its builder' if self.layers else 'its parser'
        lines = [f'{self.tensorrt}: {who} refuses the graph']
        for fault in self.faults:
            lines.append(f'  fault: {fault.text}')
            lines += [f'    node {fault.node} ({fault.operator})'] if fault.node else []
        return '\n'.join(lines)


def trial_build(file: Path, progress: Progress = lambda text: None) -> Trial:
    """Parse and build an ONNX file in a child process.

    Args:
        progress: an exception of it ends the build.

    Raises:
        ConfigError: TensorRT for RTX is not installed.
        EngineError: the process died; its last lines are in the text.
    """
    with TemporaryDirectory() as folder:
        result = Path(folder, 'trial.json')
        child_process.run(__name__, {'file': str(file), 'result': str(result)}, f'building {file}', progress,
                          'Close other programs, or add swap.')
        values = json.loads(result.read_text())
    return Trial(**{**values, 'faults': tuple(Fault(*each) for each in values['faults'])})


def progress_line(text: str) -> None:
    """Show the progress of a build on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f'\r{text[:119]:<119}\r')


def build(graph: Path | bytes, progress: Progress = lambda text: None) -> Trial:
    """Parse and build an ONNX file, or the bytes of one, in this process; see `trial_build`."""
    trt = tensorrt_rtx.load()
    name = f'TensorRT for RTX {tensorrt_rtx.version()}'
    log = _make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    progress('parsing')
    start = time.perf_counter()
    if not (parser.parse(graph) if isinstance(graph, bytes) else parser.parse_from_file(str(graph))):
        return Trial(name, tuple(_parser_faults(parser)) or (Fault(log.reason()),))
    progress(f'building {network.num_layers} layers')
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:
        return Trial(name, (Fault(log.reason()),), network.num_layers)
    return Trial(name, (), network.num_layers, plan.nbytes, time.perf_counter() - start)


def _parser_faults(parser: Any) -> Iterator[Fault]:
    for error in (parser.get_error(number) for number in range(parser.num_errors)):
        # NVIDIA's text for an unsupported operator is "false".
        text = f'{error.code().name}: {_without_driver(error.desc())}'
        yield Fault(text, error.node_name(), error.node_operator())


def _make_log(trt: Any) -> Any:
    class Log(trt.ILogger):
        """Keeps the errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(msg)

        def reason(self) -> str:
            return _without_driver('\n'.join(self.errors)) or 'it gave no reason'

    return Log()


def _without_driver(text: str) -> str:
    return ' '.join(' '.join(line for line in text.splitlines() if _NO_DRIVER not in line).split())


def _work(request: dict[str, Any], progress: Progress) -> None:
    Path(request['result']).write_text(json.dumps(build(Path(request['file']), progress)._asdict()))


if __name__ == '__main__':
    child_process.serve(_work)

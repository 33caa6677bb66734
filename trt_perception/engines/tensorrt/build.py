"""Builds TensorRT engines from ONNX into the cache, and checks the result.

Runs as a program in a child process: see file.py.
"""
import os
import re
import time
from typing import Any, Dict, Sequence, Tuple

import tensorrt as trt

from ...core.errors import ConfigError, EngineError, PerceptionError
from ...core.model import Model, load_model
from ...core.network_files import network_sha256
from ..backends import EngineOptions, Progress
from . import callbacks, child_process, golden, layers, memory
from .cache import EngineCache, EngineKey
from .cuda import Gpu
from .engine import TensorRTEngine
from .file import FLAGS, MEMORY_ADVICE, key_of, network_of, weakly_typed
from .log import LOG

# Before 8.4, TensorRT has no workspace by default. This is an upper limit: layers take only what they need.
_OLD_WORKSPACE_BYTES = 2**30


class _Workshop:
    """Builds the engines that a request needs, under the cache's lock, on a GPU."""

    def __init__(self, model: Model, options: EngineOptions, calibration: str, cache: EngineCache, gpu: Gpu,
                 report: Progress) -> None:
        self._model = model
        self._options = options
        self._calibration = calibration
        self._cache = cache
        self._gpu = gpu
        self._report = report

    def make(self, precision: str) -> None:
        """Put the engine of a precision into the cache; replace a wrong FP16 engine by one in FP32.

        Raises:
            ConfigError, EngineError: as `file.engine_file`.
        """
        key = self._key(precision)
        rebuild = self._options.rebuild or self._calibration
        if not rebuild and self._cache.find(key) is not None:
            return  # Another builder has built it while this one waited for the lock.
        network = network_of(self._model, precision)
        began_s = time.monotonic()
        with self._gpu.using('building ' + network):
            data, counts = self._build(network, precision)
        seconds = time.monotonic() - began_s
        draft = self._cache.draft(key, data)
        self._report('comparing with the golden frame')
        verdict = self._verdict(precision, draft, network)
        facts = {'network': network, 'build_seconds': round(seconds, 1), 'layers': counts,
                 'golden': verdict._asdict(), 'calibration': self._calibration,
                 'summary': '{} asked {}: {}; golden frame: {}; built in {:.0f} s'.format(
                     self._model.name, precision, layers.describe(counts), verdict.text, seconds)}
        if verdict.passed is not False:
            self._cache.publish(key, draft, facts)
            return
        os.remove(draft)
        problem = '{}: the {} engine of {} is wrong: {}.'.format(self._model.name, precision, network, verdict.text)
        replaceable = precision == 'fp16' and 'fp32' in self._model.networks('tensorrt') and self._options.dla_core < 0
        if not replaceable:
            raise EngineError(problem + ' Look for the layers at fault with `trt_perception_tools evaluate`, or choose '
                                        'another precision.')
        self.make('fp32')
        self._cache.replace(key, self._key('fp32'), dict(
            facts, warning=problem + ' FP32 is used instead. Keep the layers at fault in FP32 with '
                                     '`trt_perception_tools quantize`, or set precision: fp32.'))

    def _key(self, precision: str) -> EngineKey:
        return key_of(self._model, precision, self._gpu.info, self._options)

    def _build(self, network_file: str, precision: str) -> Tuple[bytes, Dict[str, int]]:
        """Return the serialized engine and the number of its layers per precision."""
        LOG.clear()
        builder = trt.Builder(LOG)
        self._refuse_what_the_gpu_lacks(builder, precision)
        network = builder.create_network(_creation_flags())
        parser = trt.OnnxParser(network, LOG)
        self._report('reading ' + os.path.basename(network_file))
        if not parser.parse_from_file(network_file):
            reason = _parser_errors(parser)
            raise EngineError('{}: TensorRT {} cannot read it: {}. {}'.format(
                network_file, trt.__version__, reason, self._remedy(reason) or
                'See what it lacks with `trt_perception_tools check-onnx {}`.'.format(network_file)))
        config = builder.create_builder_config()
        self._set_memory(config)
        if weakly_typed():
            for flag in FLAGS[precision]:
                config.set_flag(getattr(trt.BuilderFlag, flag))
            if precision != 'fp32' and _keep_fp32(network, self._model.keep_fp32):
                config.set_flag(_obey())
        if self._options.dla_core >= 0:
            config.default_device_type = trt.DeviceType.DLA
            config.DLA_core = self._options.dla_core
            config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
        if hasattr(trt.ProfilingVerbosity, 'DETAILED'):  # So that the inspector reports types, not only names.
            config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if hasattr(trt, 'IProgressMonitor'):
            monitor = callbacks.ProgressMonitor(self._report)
            config.progress_monitor = monitor
        calibrator = None
        if precision == 'int8' and not _is_quantised(network):
            calibrator = self._calibrator(config, network, network_file)
        timing = self._timing_cache(config)
        self._report('trying layers')
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            reason = LOG.reason()
            raise EngineError('{}: TensorRT {} built no {} engine: {}. {}'.format(
                network_file, trt.__version__, precision, reason.rstrip('.'), self._remedy(reason)).rstrip())
        data = bytes(serialized)
        self._cache.save(timing, bytes(config.get_timing_cache().serialize()))
        if calibrator is not None and calibrator.table:
            self._cache.save(_table_name(self._model, network_file), calibrator.table)
        return data, self._inspect(data)

    def _refuse_what_the_gpu_lacks(self, builder: 'trt.Builder', precision: str) -> None:
        gpu = self._gpu.info
        # TensorRT 11 has no such query: every GPU that it supports is fast.
        if precision == 'int8' and not getattr(builder, 'platform_has_fast_int8', True):
            raise ConfigError('precision: int8 was asked for, but the GPU {} (sm_{}{}) has no fast INT8 (DP4A) '
                              'instructions: it would be slower than FP16. Set precision: fp16.'.format(
                                  gpu.name, *gpu.capability))
        if self._options.dla_core >= builder.num_DLA_cores:
            raise ConfigError('dla_core: got {}, but {} has {} DLA cores. Set dla_core: -1 for the GPU.'.format(
                self._options.dla_core, gpu.name, builder.num_DLA_cores or 'no'))
        if self._options.dla_core >= 0 and precision not in ('fp16', 'int8'):
            raise ConfigError('dla_core: got {} with precision {}, but a DLA core computes in fp16 and int8 only. Set '
                              'precision: fp16.'.format(self._options.dla_core, precision))

    def _set_memory(self, config: 'trt.IBuilderConfig') -> None:
        if not hasattr(config, 'set_memory_pool_limit'):
            config.max_workspace_size = self._options.workspace_bytes or _OLD_WORKSPACE_BYTES
        elif self._options.workspace_bytes:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, self._options.workspace_bytes)

    def _remedy(self, reason: str) -> str:
        """Return the remedy for a lack of memory, if the reason is one, as a sentence, or ''."""
        if memory.workspace_is_too_small(reason):
            return 'Raise max_workspace_size (bytes, now {}){}.'.format(
                self._options.workspace_bytes, ', or set it to 0' if self._options.workspace_bytes else '')
        return MEMORY_ADVICE if memory.is_short(reason) else ''

    def _timing_cache(self, config: 'trt.IBuilderConfig') -> str:
        """Give the builder the timings of earlier builds; return the name of their file."""
        name = 'timing-{}-{}.cache'.format(re.sub(r'\W+', '_', self._gpu.info.name), trt.__version__)
        try:
            known = self._cache.read(name)
        except OSError:
            known = b''
        cache = config.create_timing_cache(known)
        if cache is None or not config.set_timing_cache(cache, False):  # Damaged, or from another driver.
            config.set_timing_cache(config.create_timing_cache(b''), False)
        return name

    def _calibrator(self, config: 'trt.IBuilderConfig', network: 'trt.INetworkDefinition', network_file: str) -> Any:
        """Return the calibrator of the config, which TensorRT does not keep alive."""
        table = b''
        if not hasattr(trt, 'IInt8EntropyCalibrator2'):
            raise ConfigError('{}: it has no Q/DQ nodes, and TensorRT {} does not calibrate. Make an int8 network with '
                              '`trt_perception_tools quantize`.'.format(network_file, trt.__version__))
        if not self._calibration:
            try:
                table = self._cache.read(_table_name(self._model, network_file))
            except OSError as error:
                raise ConfigError(
                    '{}: it has no Q/DQ nodes and was never calibrated here. Make an int8 network with '
                    '`trt_perception_tools quantize`, or run `trt_perception build-engine {} --precision int8 '
                    '--calibration FOLDER_OF_IMAGES`.'.format(network_file, self._model.path)) from error
        calibrator = callbacks.EntropyCalibrator(self._model, network, self._gpu, self._calibration, table,
                                                          self._report)
        config.int8_calibrator = calibrator
        return calibrator

    def _inspect(self, data: bytes) -> Dict[str, int]:
        runtime = trt.Runtime(LOG)  # Kept alive, because the engine needs it.
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError('{}: TensorRT {} cannot read the engine that it has just built: {}. {}'.format(
                self._model.name, trt.__version__, LOG.reason().rstrip('.'), self._remedy(LOG.reason())).rstrip())
        if not hasattr(engine, 'create_engine_inspector'):
            return {}
        return layers.count_precisions(engine.create_engine_inspector().get_engine_information(
            trt.LayerInformationFormat.JSON))

    def _verdict(self, precision: str, engine_path: str, network: str) -> golden.Verdict:
        fp32 = self._model.network_file('tensorrt', 'fp32') if 'fp32' in self._model.networks('tensorrt') else network
        paths = [golden.golden_path(each) for each in (network, fp32)]
        stored = next((path for path in paths if os.path.isfile(path)), None)
        engine = TensorRTEngine(self._model, engine_path, precision, self._options)
        try:
            engine.infer()
            try:
                expected = golden.read(stored) if stored else golden.reference(self._model, fp32)
            except PerceptionError as error:
                if stored:
                    raise
                return golden.Verdict(None, 'not checked: {}'.format(error))
            return golden.check(engine, self._model, precision, expected)
        finally:
            engine.close()


def _work(request: Dict[str, Any], report: Progress) -> None:
    model, options = load_model(request['model']), EngineOptions(**request['options'])
    cache = EngineCache(options.cache_dir)
    with cache.lock(lambda: report('waiting for another builder')):
        gpu = Gpu(options.gpu_id)
        try:
            _Workshop(model, options, request['calibration'], cache, gpu, report).make(request['precision'])
        finally:
            gpu.close()


def _creation_flags() -> int:
    # Explicit batch: unknown since 11, without effect in 10, needed before. Strongly typed: the only way since 11.
    names = ('EXPLICIT_BATCH',) if weakly_typed() else ('STRONGLY_TYPED',)
    return sum(1 << int(getattr(trt.NetworkDefinitionCreationFlag, name)) for name in names)


def _obey() -> Any:
    """Return the builder flag that makes layers compute in their given precision."""
    # TensorRT before 8.2 has only the older name.
    if hasattr(trt.BuilderFlag, 'OBEY_PRECISION_CONSTRAINTS'):
        return trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS
    return trt.BuilderFlag.STRICT_TYPES


def _keep_fp32(network: 'trt.INetworkDefinition', parts: Sequence[str]) -> bool:
    """Keep layers whose names contain one of the parts in FP32, and return whether there are any."""
    found = False
    for layer in (network.get_layer(number) for number in range(network.num_layers)):
        if not any(part in layer.name for part in parts):
            continue
        outputs = [number for number in range(layer.num_outputs) if _is_float(layer.get_output(number))]
        if outputs or any(_is_float(layer.get_input(number)) for number in range(layer.num_inputs)):
            layer.precision = trt.DataType.FLOAT
            found = True
        for number in outputs:
            layer.set_output_type(number, trt.DataType.FLOAT)
    return found


def _is_float(tensor: 'trt.ITensor') -> bool:
    return tensor is not None and tensor.dtype == trt.DataType.FLOAT and not tensor.is_shape_tensor


def _is_quantised(network: 'trt.INetworkDefinition') -> bool:
    """Whether the network has Q/DQ nodes, which need no calibration."""
    return any(network.get_layer(number).type == trt.LayerType.QUANTIZE for number in range(network.num_layers))


def _parser_errors(parser: 'trt.OnnxParser') -> str:
    texts = []
    for error in (parser.get_error(number) for number in range(parser.num_errors)):
        where = 'node {}'.format(error.node())
        if hasattr(error, 'node_name'):
            where += ' {} ({})'.format(error.node_name(), error.node_operator())
        # NVIDIA's text may be just "false", or a stack of several lines.
        texts.append('{}: {}: {}'.format(where, error.code().name, ' '.join(error.desc().split())))
    return '; '.join(texts) or 'it gave no reason'


def _table_name(model: Model, network_file: str) -> str:
    return '{}-{}.calibration'.format(model.name, network_sha256(network_file)[:12])


def main() -> None:
    """Build the engine that the parent process requests."""
    child_process.serve(_work)


if __name__ == '__main__':
    main()

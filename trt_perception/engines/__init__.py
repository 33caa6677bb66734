"""Inference runtimes behind one interface: one file each, imported only when chosen."""
import importlib
import importlib.util
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..core.engine import Engine
from ..core.errors import ConfigError
from ..core.image import FrameDecoder
from ..core.model import PRECISIONS, Model, did_you_mean

AUTO = 'auto'


class Backend(NamedTuple):
    """One line of the table of inference runtimes."""

    module: str
    """Module of this package whose `open_engine(model, precision, options, decoder)` opens an engine."""
    package: str
    """What must be importable, and is installed under that name by pip."""
    precision: str
    """Default."""


# In the order in which `auto` tries them.
BACKENDS: Dict[str, Backend] = {
    'onnxruntime': Backend('onnxruntime_engine', 'onnxruntime', 'fp32'),
}


class EngineOptions(NamedTuple):
    """How to open an engine; a back-end ignores what does not concern it."""

    backend: str = AUTO
    """A key of BACKENDS, or 'auto': the first of them that can be imported."""
    precision: str = ''
    """One of PRECISIONS, or '' for the back-end's default."""
    num_threads: int = 0
    """CPU threads per engine; 0 = all cores."""


DEFAULT_OPTIONS = EngineOptions()

def available_backends() -> List[str]:
    """Return the names of the back-ends whose package is installed, in the order of preference."""
    return [name for name, backend in BACKENDS.items() if importlib.util.find_spec(backend.package) is not None]


def resolve(options: EngineOptions) -> Tuple[str, str]:
    """Return back-end and precision that `options` ask for.

    Raises:
        ConfigError: unknown name, or the back-end's package is not installed.
    """
    name = options.backend
    if name == AUTO:
        found = available_backends()
        if not found:
            raise ConfigError('engine: auto found none of {}. Install one: pip install {}'.format(
                ', '.join(b.package for b in BACKENDS.values()), list(BACKENDS.values())[-1].package))
        name = found[0]
    if name not in BACKENDS:
        raise ConfigError('engine: got {!r}, expected one of {}{}'.format(
            name, ', '.join([AUTO] + list(BACKENDS)), did_you_mean(name, BACKENDS)))
    if importlib.util.find_spec(BACKENDS[name].package) is None:
        raise ConfigError('engine: {} was asked for, but the Python package {} is not installed here. Install it, or '
                          'set engine: auto.'.format(name, BACKENDS[name].package))
    precision = options.precision or BACKENDS[name].precision
    if precision not in PRECISIONS:
        raise ConfigError('precision: got {!r}, expected one of {}.'.format(precision, ', '.join(PRECISIONS)))
    return name, precision


def open_engine(model: Model, options: EngineOptions = DEFAULT_OPTIONS,
                decoder: Optional[FrameDecoder] = None) -> Engine:
    """Open a model's network and run it once to warm up.

    Args:
        decoder: share one between engines that see the same frames.

    Raises:
        ConfigError: back-end, precision or network file cannot be had.
        EngineError: the file is no network, or not the one that the model describes.
    """
    name, precision = resolve(options)
    module = importlib.import_module('.' + BACKENDS[name].module, __name__)
    engine: Engine = module.open_engine(model, precision, options, decoder)
    engine.infer()
    return engine

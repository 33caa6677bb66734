"""A digest of everything that decides the bytes of an output, so that equal jobs are not done twice."""
import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping

from .. import __version__
from ..bag import Bag
from ..core.model import Model
from ..core.network_files import network_sha256
from ..core.settings import Settings
from ..core.tasks import find_task
from ..engines import BACKENDS, EngineOptions, resolve
from .camera import CameraTopics
from .job import Job

_END_BYTES = 2**20
# Parameters that count, in addition to those of the tasks. Models, engines and cameras count as resolved; the others,
# listed in docs/processing.md, have no effect here.
_COMMON = ('num_threads', 'mono16_bits', 'output_size', 'max_workspace_size', 'dla_core')


def describe_model(model: Model, options: EngineOptions) -> Dict[str, str]:
    """Return a model and how it is run, with a digest of the contents of its YAML and its network.

    Raises:
        ConfigError: back-end, precision or network file is unavailable.
    """
    backend, precision = resolve(model, options)
    digest = hashlib.sha256(repr(model._replace(path='')).encode())
    if backend == 'opencv':  # It has no network, but a file of settings.
        digest.update(Path(model.network_file(backend, precision, '')).read_bytes())
    else:
        digest.update(network_sha256(model.network_file(backend, precision, BACKENDS[backend].format)).encode())
    return {'model': model.name, 'engine': backend, 'precision': precision, 'sha256': digest.hexdigest()}


def fingerprint_of(job: Job, bag: Bag, cameras: List[CameraTopics], models: Mapping[str, Dict[str, str]],
                   settings: Settings) -> str:
    """Return 64 hexadecimal digits for everything that decides the output: contents, not paths of files."""
    parts: Dict[str, Any] = {
        'version': __version__, 'bag': _digests(bag), 'cameras': cameras, 'models': models,
        'settings': {name: settings[name] for name in _COMMON + tuple(
            setting.name for task in job.tasks for setting in find_task(task).settings
            if setting.name != task + '.model')},
        'options': [job.start_ns, job.end_ns, job.every, job.outputs, job.storage, job.compress, job.with_input,
                    job.split]}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digests(bag: Bag) -> List[str]:
    """Return a digest of each file of a bag: of its size and both ends, which have index and checksums.

    A digest of a whole large bag would take as long as processing a part of it.
    """
    digests = []
    for path in [each for file in bag.files for each in (sorted(file.iterdir()) if file.is_dir() else [file])]:
        size = Path(path).stat().st_size
        with path.open('rb') as file:
            digest = hashlib.sha256(str(size).encode() + file.read(_END_BYTES))
            file.seek(max(0, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
        digests.append(digest.hexdigest())
    return digests

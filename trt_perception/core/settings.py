"""All parameters of the nodes: those of every node here, those of each task from the table of tasks.

Nodes declare them; docs/parameters.md and config/perception.yaml are generated from them.
"""
from typing import Any, Dict, Iterable, List, Optional

from .errors import ConfigError, did_you_mean
from .model import PRECISIONS
from .setting import Setting
from .tasks import TASKS, find_task

Settings = Dict[str, Any]
"""Checked values by parameter name."""


COMMON = (
    Setting('engine', 'auto', 'Back-end (`trt_perception doctor` lists them); auto = the first that is available and '
            'for which the model has a file. If a named back-end is unavailable, the node exits with an error'),
    Setting('precision', '', "Arithmetic of the network; '' = fp16 on TensorRT; int8 on a CPU with "
            "INT8 dot products (VNNI, AMX, DotProd) if it costs the model at most 0.5 points; else fp32",
            ('',) + PRECISIONS),
    Setting('engine_cache_dir', '', "Folder of built TensorRT engines; '' = ~/.cache/trt_perception"),
    Setting('force_engine_update', False, 'Rebuild the TensorRT engine at start, even if it is in the cache'),
    Setting('max_workspace_size', 0, "Largest workspace of a TensorRT engine's layers (bytes); 0 = TensorRT's default, "
            "or 1 GB before TensorRT 8.4", limits=(0, 1e12)),
    Setting('dla_core', -1, 'Deep-learning accelerator of a Xavier or Orin that runs the TensorRT engine; -1 = the GPU',
            limits=(-1, 7)),
    Setting('gpu_id', 0, 'CUDA device that runs the TensorRT engine', limits=(0, 255)),
    Setting('serve_while_building', '', "Back-end that computes results while the TensorRT engine is built; '' = none: "
            'the node waits', ('', 'onnxruntime')),
    Setting('build_only', False, 'Exit when the engines have been built and can be opened'),
    Setting('autostart', True, 'Open the engines and subscribe at start; false = wait for configure and activate, e.g. '
            "from Nav2's lifecycle manager (not in Foxy)"),
    Setting('start_paused', False, 'Open the engines, but take no images until ~/enable is called with true'),
    Setting('num_threads', 0, 'CPU threads per engine; 0 = all cores', limits=(0, 256)),
    Setting('image_transport', 'raw', 'raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage on '
            '`image`/compressed', ('raw', 'compressed')),
    Setting('mono16_bits', 16, 'Number of low bits that mono16 images use; 10 or 12 for drivers that leave the upper '
            'bits empty', limits=(8, 16)),
    Setting('output_size', 'camera', "Pixel grid of the outputs: that of the camera's image, or of the network output",
            ('camera', 'network')),
    Setting('max_frame_age', 0.2, 'Frames older than this are dropped and counted (s); 0 = no limit', limits=(0, 3600),
            runtime=True),
    Setting('min_rate', 0.0, 'Lowest rate of results per camera without a warning in /diagnostics (Hz); 0 = off',
            limits=(0, 1000), runtime=True),
    Setting('lazy', True, 'Run no inference while the results have no subscribers', runtime=True),
    Setting('cameras', [''], "Names of the cameras that the node serves with the same engines; the topics of NAME are "
            "NAME/image, NAME/segmentation/label_map ...; [''] = one camera, whose topics have no prefix"),
    Setting('camera_priorities', [0], 'Priority of each camera, or one for all. If several images wait, the highest '
            'priority goes first; among equal ones, the camera whose last turn is longest ago',
            limits=(-100, 100)),
)


def settings_for(tasks: Optional[Iterable[str]] = None) -> List[Setting]:
    """Return the settings that a node with these tasks has; None = all tasks.

    Raises:
        ConfigError: there is no such task.
    """
    names = TASKS if tasks is None else tasks
    # Tasks may share a setting.
    found = {setting.name: setting for name in names for setting in find_task(name).settings}
    return list(found.values()) + list(COMMON)


def find_setting(name: str) -> Setting:
    """Return one setting by name.

    Raises:
        ConfigError: there is none of that name.
    """
    settings = {setting.name: setting for setting in settings_for()}
    if name not in settings:
        raise ConfigError('parameter {}: unknown{}'.format(name, did_you_mean(name, settings)))
    return settings[name]


def defaults() -> Settings:
    """Return every setting at its default."""
    return {setting.name: setting.default for setting in settings_for()}

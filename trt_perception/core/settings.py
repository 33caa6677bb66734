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
    Setting('engine', 'auto', 'Back-end, by name (`trt_perception doctor` lists them); auto = the first that can run '
            'here and for which the model has a file. If a named one is unavailable, the node exits with an error'),
    Setting('precision', '', "Arithmetic of the network; '' = fp16 on TensorRT; int8 on a CPU with "
            "INT8 dot products (VNNI, AMX, DotProd) where it costs the model at most 0.5 points; else fp32",
            ('',) + PRECISIONS),
    Setting('engine_cache_dir', '', "Where built TensorRT engines are kept; '' = ~/.cache/trt_perception"),
    Setting('force_engine_update', False, 'Rebuild the TensorRT engine at start, even if it is in the cache'),
    Setting('max_workspace_size', 0, "Memory that layers of a TensorRT engine may take while they work (bytes); 0 = "
            "TensorRT's default, before 8.4 1 GB", limits=(0, 1e12)),
    Setting('dla_core', -1, 'Deep-learning accelerator of a Xavier or Orin that runs the TensorRT engine; -1 = the GPU',
            limits=(-1, 7)),
    Setting('gpu_id', 0, 'CUDA device that runs the TensorRT engine', limits=(0, 255)),
    Setting('serve_while_building', '', "Inference runtime that serves while the TensorRT engine is built; '' = none: "
            'the node waits', ('', 'onnxruntime')),
    Setting('build_only', False, 'End as soon as the engines are built and can be opened'),
    Setting('autostart', True, 'Open the engines and subscribe at start; false = wait for configure and activate, as '
            "of Nav2's lifecycle manager (not in Foxy)"),
    Setting('start_paused', False, 'Open the engines, and take no images before ~/enable is called with true'),
    Setting('num_threads', 0, 'CPU threads per engine; 0 = all cores', limits=(0, 256)),
    Setting('image_transport', 'raw', 'raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage on '
            '`image`/compressed', ('raw', 'compressed')),
    Setting('mono16_bits', 16, 'Bits that the pixels of mono16 images use, from the lowest: 10 or 12 for drivers that '
            'leave the upper ones empty', limits=(8, 16)),
    Setting('output_size', 'camera', 'Pixel grid of the outputs: the camera image, or what the network gives',
            ('camera', 'network')),
    Setting('max_frame_age', 0.2, 'Older frames are dropped and counted (s); 0 = no limit', limits=(0, 3600),
            runtime=True),
    Setting('min_rate', 0.0, 'Fewer results per second of a camera are a warning in /diagnostics; 0 = off',
            limits=(0, 1000), runtime=True),
    Setting('lazy', True, 'No inference while the results have no subscribers', runtime=True),
    Setting('cameras', [''], "Names of the cameras that the node serves, all on the same engines: the topics of NAME "
            "are NAME/image, NAME/segmentation/label_map ...; [''] = one camera, whose topics have no prefix"),
    Setting('camera_priorities', [0], 'Which camera is next when several images wait: of those with the highest '
            'priority the one whose last turn is longest ago; one number for each camera, or one for all',
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

"""The one table of parameters: names, defaults, limits, meaning. Nodes declare it, the README prints it."""
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .errors import ConfigError
from .model import OPTICAL_FLOW, PRECISIONS, SEGMENTATION, TASKS, did_you_mean

Settings = Dict[str, Any]
"""Checked values by parameter name."""


class Setting(NamedTuple):
    """One parameter of the nodes."""

    name: str
    default: Any
    """Also fixes the type: bool, int, float or str. An int is accepted for a float."""
    description: str
    choices: Tuple[str, ...] = ()
    limits: Optional[Tuple[float, float]] = None
    runtime: bool = False
    """Whether it may change while the node runs."""
    task: Optional[str] = None
    """Only nodes with this task have it; None = all."""

    def check(self, value: Any) -> Any:
        """Return the value in the parameter's type.

        Raises:
            ConfigError: wrong type, or outside the choices or limits; the text names them.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        wrong = (type(value) is not kind or (self.choices and value not in self.choices)
                 or (self.limits and not self.limits[0] <= value <= self.limits[1]))
        if wrong:
            raise ConfigError('parameter {}: got {!r}, expected {}.'.format(self.name, value, self.expected))
        return value

    @property
    def expected(self) -> str:
        """What values are right, for people."""
        if self.choices:
            return 'one of ' + ', '.join(choice or "''" for choice in self.choices)
        if self.limits:
            return 'a number from {:g} to {:g}'.format(*self.limits)
        return {'str': 'a string', 'bool': 'true or false'}.get(type(self.default).__name__, 'a number')


SETTINGS = (
    Setting('segmentation.model', 'swiftnet_camvid',
            'Segmentation model: a name in config/models, or the path of a YAML', task=SEGMENTATION),
    Setting('segmentation.overlay_alpha', 0.5, 'Weight of the label colours in segmentation/overlay',
            limits=(0, 1), runtime=True, task=SEGMENTATION),
    Setting('optical_flow.model', 'tinypwc', 'Optical-flow model: a name in config/models, or the path of a YAML',
            task=OPTICAL_FLOW),
    Setting('optical_flow.color_max', 0.0, 'Flow shown fully saturated in optical_flow/color (px); 0 = 99th percentile '
            'of each frame', limits=(0, 1e4), runtime=True, task=OPTICAL_FLOW),
    Setting('flow_grid', 'current', 'Image on whose pixel grid the flow lives', ('current', 'previous'),
            task=OPTICAL_FLOW),
    Setting('max_pair_gap', 0.5, 'Longest time between the two images of a flow field (s); 0 = no limit',
            limits=(0, 3600), runtime=True, task=OPTICAL_FLOW),
    Setting('engine', 'auto', 'Inference runtime: auto, tensorrt, onnxruntime, openvino or tflite; auto = tensorrt '
            'where there is a GPU, else onnxruntime. A named one that cannot be had stops the node'),
    Setting('precision', '', "Arithmetic of the network; '' = fp16 on TensorRT, fp32 on the CPU",
            ('',) + PRECISIONS),
    Setting('engine_cache_dir', '', "Where built TensorRT engines are kept; '' = ~/.cache/trt_perception"),
    Setting('force_engine_update', False, 'Build the TensorRT engine anew at start, even if it is in the cache'),
    Setting('max_workspace_size', 0, "Memory that layers of a TensorRT engine may take while they work (bytes); 0 = "
            "TensorRT's default, before 8.4 1 GB", limits=(0, 1e12)),
    Setting('dla_core', -1, 'Deep-learning accelerator of a Xavier or Orin that runs the TensorRT engine; -1 = the GPU',
            limits=(-1, 7)),
    Setting('gpu_id', 0, 'CUDA device that runs the TensorRT engine', limits=(0, 255)),
    Setting('serve_while_building', '', "Inference runtime that serves while the TensorRT engine is built; '' = none: "
            'the node waits', ('', 'onnxruntime')),
    Setting('build_only', False, 'End as soon as the engines are built and can be opened'),
    Setting('num_threads', 0, 'CPU threads per engine; 0 = all cores', limits=(0, 256)),
    Setting('image_transport', 'raw', 'raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage on '
            '`image`/compressed', ('raw', 'compressed')),
    Setting('mono16_bits', 16, 'Bits that the pixels of mono16 images use, from the lowest: 10 or 12 for drivers that '
            'leave the upper ones empty', limits=(8, 16)),
    Setting('output_size', 'camera', 'Pixel grid of the outputs: the camera image, or what the network gives',
            ('camera', 'network')),
    Setting('max_frame_age', 0.2, 'Older frames are dropped and counted (s); 0 = no limit', limits=(0, 3600),
            runtime=True),
    Setting('lazy', True, 'No inference while nobody subscribes to its result', runtime=True),
)


def settings_for(tasks: Sequence[str] = TASKS) -> List[Setting]:
    """Return the settings that a node with these tasks has."""
    return [setting for setting in SETTINGS if setting.task is None or setting.task in tasks]


def find_setting(name: str) -> Setting:
    """Return one setting by name.

    Raises:
        ConfigError: there is none of that name.
    """
    for setting in SETTINGS:
        if setting.name == name:
            return setting
    raise ConfigError('parameter {}: unknown{}'.format(name, did_you_mean(name, [s.name for s in SETTINGS])))


def defaults() -> Settings:
    """Return every setting at its default."""
    return {setting.name: setting.default for setting in SETTINGS}


def markdown_table(settings: Iterable[Setting] = SETTINGS) -> str:
    """Return the parameters as the Markdown table that the README holds."""
    lines = ['| name | default | range | at run time | meaning |', '|---|---|---|---|---|']
    for setting in settings:
        limits = ' / '.join("`''`" if choice == '' else '`{}`'.format(choice) for choice in setting.choices)
        if setting.limits:
            limits = '{:g} - {:g}'.format(*setting.limits)
        default = str(setting.default).lower() if isinstance(setting.default, bool) else repr(setting.default)
        lines.append('| `{}` | `{}` | {} | {} | {} |'.format(
            setting.name, default, limits, 'yes' if setting.runtime else '', setting.description))
    return '\n'.join(lines)

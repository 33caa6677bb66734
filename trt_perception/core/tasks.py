"""The one table of tasks: what a network is for, and the classes that run it and publish its results.

The classes are named, not imported: this layer must not know ROS, and `doctor` reads the table without OpenCV.
"""
import importlib
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from .errors import ConfigError, did_you_mean
from .setting import Setting

SEGMENTATION = 'segmentation'
OPTICAL_FLOW = 'optical_flow'


class Task(NamedTuple):
    """One entry of the table of tasks."""

    pipeline: str
    """'module:Class' of the core.pipeline.Pipeline that runs its networks."""
    publishers: str
    """'module:Class' of the ros.publishers.TaskPublishers that publishes its results."""
    images: int
    """Number of successive images that a network takes: 1 or 2."""
    outputs: Tuple[str, ...]
    """Outputs of every network; a model's YAML maps them to the names of the network's outputs."""
    result_topic: str
    """Topic of the main result, a sensor_msgs/Image."""
    encoding: str
    """Encoding of the images on it."""
    pixel_bytes: int
    """Bytes of a pixel in that encoding."""
    settings: Tuple[Setting, ...]
    """Parameters of nodes with this task; TASK.model is one of them."""
    default_models: Tuple[str, ...] = ()
    """Names in config/models, one of which is used if TASK.model is '': see engines.default_model."""
    optional_outputs: Tuple[str, ...] = ()
    """Outputs that a network may have as well."""
    numbers: Mapping[str, float] = {}
    """Further fields of `output` in a model's YAML: finite numbers other than 0, and their defaults."""
    has_labels: bool = False
    """Whether a model's YAML names a label set."""
    carrying: str = ''
    """'module:Class' of the pipeline that carries its results along the flow, built with the arguments of
    core.carried_segmentation.CarriedSegmentation; its settings include PROPAGATE. '' = results are not carried."""


PROPAGATE = Setting(
    'propagate', 1, 'Segment only every n-th image, and carry its labels along the optical flow to the images in '
    'between; 1 = segment all; 0 = segment when there is time without losing another image, and every 10th image',
    limits=(0, 100))

TASKS: Dict[str, Task] = {
    SEGMENTATION: Task(
        'trt_perception.core.segmentation:SegmentationPipeline',
        'trt_perception.ros.segmentation_publishers:SegmentationPublishers',
        images=1, outputs=('labels',), optional_outputs=('confidence',), has_labels=True,
        carrying='trt_perception.core.carried_segmentation:CarriedSegmentation',
        result_topic='segmentation/label_map', encoding='mono8', pixel_bytes=1,
        settings=(
            Setting('segmentation.model', 'swiftnet_camvid',
                    'Segmentation model: a name in config/models, or the path of a YAML'),
            Setting('segmentation.min_confidence', 0.0, 'Labels with a lower confidence become 255 (unlabelled), so '
                    'that a planner does not rely on them; 0 = off', limits=(0, 1), runtime=True),
            Setting('segmentation.overlay_alpha', 0.5, 'Weight of the label colours in segmentation/overlay',
                    limits=(0, 1), runtime=True),
            PROPAGATE)),
    OPTICAL_FLOW: Task(
        'trt_perception.core.optical_flow:OpticalFlowPipeline',
        'trt_perception.ros.optical_flow_publishers:OpticalFlowPublishers',
        images=2, outputs=('flow',), optional_outputs=('confidence',), numbers={'flow_scale': 1.0},
        result_topic='optical_flow/flow', encoding='32FC2', pixel_bytes=8, default_models=('tinypwc', 'dis_medium'),
        settings=(
            Setting('optical_flow.model', '',
                    "Optical-flow model: a name in config/models, or the path of a YAML; '' = tinypwc on a GPU, which "
                    'leaves the CPU free, else dis_medium, which needs no network'),
            Setting('optical_flow.min_confidence', 0.0, 'Flow with a lower confidence becomes NaN (invalid); use 0.25 '
                    'for planner_node with tinypwc; 0 = off', limits=(0, 1), runtime=True),
            Setting('optical_flow.color_max', 0.0, 'Length of flow that is fully saturated in optical_flow/color (px); '
                    '0 = 99th percentile of each frame', limits=(0, 1e4), runtime=True),
            Setting('flow_grid', 'current', 'Image of the pair whose pixel grid the flow has', ('current', 'previous')),
            Setting('max_pair_gap', 0.5, 'Longest time between the two images of a flow field (s); 0 = no limit',
                    limits=(0, 3600), runtime=True))),
}


def find_task(name: str) -> Task:
    """Return one task by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TASKS:
        raise ConfigError('task: got {!r}, expected one of {}{}'.format(name, ', '.join(TASKS),
                                                                       did_you_mean(name, TASKS)))
    return TASKS[name]


def tasks_of(node: str) -> Tuple[str, ...]:
    """Return the tasks of a node, by its name: that of a task, or of all."""
    return (node,) if node in TASKS else tuple(TASKS)


def pipeline_class(task: str) -> Any:
    """Return the class whose instances run a task's networks, a subclass of core.pipeline.Pipeline.

    Raises:
        ConfigError: there is no such task.
    """
    return _class(find_task(task).pipeline)


def carrying_class(task: str, settings: Mapping[str, Any]) -> Any:
    """Return the class that replaces `pipeline_class` if the settings ask for carried results, a subclass of
    core.pipeline.Pipeline; None = they do not, or results of this task cannot be carried.

    Raises:
        ConfigError: there is no such task.
    """
    place = find_task(task).carrying
    return _class(place) if place and settings[PROPAGATE.name] != PROPAGATE.default else None


def publishers_class(task: str) -> Any:
    """Return the class whose instances publish a task's results, a subclass of ros.publishers.TaskPublishers.

    Raises:
        ConfigError: there is no such task.
    """
    return _class(find_task(task).publishers)


def _class(place: str) -> Any:
    module, _, name = place.partition(':')
    return getattr(importlib.import_module(module), name)

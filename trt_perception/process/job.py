"""A job, its progress and its outcome, as values."""
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..core.tasks import TASKS

DEFAULT_OUTPUTS = ('*/label_map', '*/label_info*', 'segmentation/confidence', '*/camera_info', '*/flow', '*/flow_info',
                   '*/time_reference')
"""What programs need. Visualisations can be made of that; the confidence of the flow takes DIS as long as the flow."""


class Job(NamedTuple):
    """One bag that is to be processed, or a part of it."""

    bag: str
    """Folder of a ROS 2 bag, or a .mcap, .db3 or (ROS 1) .bag file."""
    output: str
    """Folder of the bag that is written. It appears when it is whole; until then there is OUTPUT.partial."""
    cameras: Tuple[Tuple[str, Optional[str]], ...] = ()
    """(image topic, namespace of its results); () = every image topic. Namespace None = of one camera none, of several
    that of the topic each."""
    tasks: Tuple[str, ...] = tuple(TASKS)
    settings: Mapping[str, Any] = {}
    """Parameters of the nodes by name; those that are missing have their defaults."""
    start_ns: int = 0
    """Only what was recorded at least this long after the bag's first message. The first image is paired with the one
    before it, so that the parts of a bag together give the whole."""
    end_ns: Optional[int] = None
    """Only what was recorded less than this long after the bag's first message; None = to the end."""
    every: int = 1
    """Every nth image of each camera."""
    outputs: Tuple[str, ...] = DEFAULT_OUTPUTS
    """Patterns of the topics to write, without namespace: 'segmentation/*'."""
    storage: str = 'mcap'
    """Or sqlite3."""
    compress: bool = False
    """Whether MCAP is compressed with zstd."""
    with_input: bool = False
    """Whether the images and calibrations that were processed are written, too."""
    split: int = 500
    """Images per file of the output. A run that is killed loses its unfinished file."""


class Progress(NamedTuple):
    """How far a job is."""

    done: int
    """Images, of an earlier run too."""
    total: int
    """0 = unknown."""
    resumed: int
    """Images of an earlier run."""


class Summary(NamedTuple):
    """The outcome of a job."""

    bag: str
    output: str
    state: str
    """done; or unchanged: an equal job had been done before."""
    images: int
    processed: int
    """Of these images, those that went through."""
    bad: int
    """Those that were skipped."""
    results: Dict[str, int]
    """Messages written, by topic."""
    faults: List[str]
    """What could not be used, human-readable; [] = all could."""
    resumed: int
    """Images that an earlier run had done."""
    seconds: float
    """Of this run."""
    rate_hz: float
    """Images per second of this run."""

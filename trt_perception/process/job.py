"""A job, its progress and its outcome, as values."""
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.errors import ConfigError
from ..core.tasks import TASKS

DEFAULT_OUTPUTS = ('*/label_map', '*/label_info*', 'segmentation/confidence', '*/camera_info', '*/flow', '*/flow_info',
                   '*/time_reference')
"""Topics that programs need. Visualisations can be made from them; for DIS the confidence takes as long as the flow."""


class Job(NamedTuple):
    """One bag to be processed, or a part of it."""

    bag: str
    """Folder of a ROS 2 bag, or a .mcap, .db3 or (ROS 1) .bag file."""
    output: str
    """Folder of the bag that is written. It appears when it is complete; until then there is OUTPUT.partial."""
    cameras: Tuple[Tuple[str, Optional[str]], ...] = ()
    """(image topic, namespace of its results); () = every image topic. Namespace None = none for a single camera, those
    of the topics for several."""
    tasks: Tuple[str, ...] = tuple(TASKS)
    settings: Mapping[str, Any] = {}
    """Parameters of the nodes by name; those that are missing have their defaults."""
    start_ns: int = 0
    """Start of the part, from the bag's first message. The first image is paired with the one before it, so that the
    parts of a bag together equal the whole."""
    end_ns: Optional[int] = None
    """End of the part, from the bag's first message; None = the end of the bag."""
    every: int = 1
    """Process every nth image of each camera."""
    outputs: Tuple[str, ...] = DEFAULT_OUTPUTS
    """Patterns of the topics to write, without namespace: 'segmentation/*'."""
    storage: str = 'mcap'
    """mcap or sqlite3."""
    compress: bool = False
    """Whether MCAP is compressed with zstd."""
    with_input: bool = False
    """Whether the images and calibrations that were processed are written, too."""
    split: int = 500
    """Images per file of the output. A run that is killed loses its unfinished file."""


def output_folders(bags: Sequence[str], folder: str) -> List[str]:
    """Return the folder for the results of each bag, named after it.

    Raises:
        ConfigError: two have one name.
    """
    names = [re.sub(r'(?<=.)\.(mcap|db3|bag)$', '', os.path.basename(os.path.abspath(bag))) for bag in bags]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError('BAG: {} have the name {!r}, and would have the same folder in {}. Process them one by '
                              'one.'.format(names.count(name), name, folder))
    return [os.path.join(folder, name) for name in names]


class Progress(NamedTuple):
    """The progress of a job."""

    done: int
    """Images done, including those of an earlier run."""
    total: int
    """Number of all images; 0 = unknown."""
    resumed: int
    """Images of an earlier run."""


class Summary(NamedTuple):
    """The outcome of a job."""

    bag: str
    output: str
    state: str
    """done; or unchanged: an equal job was done before."""
    images: int
    processed: int
    """Images that were processed without an error."""
    bad: int
    """Images that were skipped."""
    results: Dict[str, int]
    """Messages written, by topic."""
    faults: List[str]
    """Input that could not be used, human-readable; [] = none."""
    resumed: int
    """Images that an earlier run had done."""
    seconds: float
    """Duration of this run."""
    rate_hz: float
    """Images per second of this run."""

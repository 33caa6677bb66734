"""The rules of a node's diagnostics: from facts about the node and its cameras to levels and texts.

WARN: results are missing, late or doubtful. ERROR: there are no results, or none can be trusted until it is fixed.
"""
import enum
from typing import List, Mapping, NamedTuple, Sequence, Tuple

STUCK_S = 5.0
"""A frame that takes longer is assumed to hang."""
SILENCE_S = 5.0
"""Longest time between two images of a camera that is not silent."""
_REJECTED = 5
"""Unusable images in a row that are an error."""
_FAR_BELOW = 0.5
"""Share of the sender's rate below which images are lost. Cameras with varying exposure stay above it."""
UNUSABLE = ('bad', 'too_old', 'engine_fault')
"""Counters of frames that arrived but gave no result."""
FIRST_IMAGE = 'first image'
"""The only expected reason for a missing result of two images."""


class Level(enum.IntEnum):
    """Levels as in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class InputState(enum.Enum):
    """State of a camera's images, in Autoware's words."""

    RECEIVING = 'receiving'
    WAITING = 'waiting'
    """None has arrived yet."""
    STALLED = 'stalled'
    """They have stopped arriving."""
    REJECTED = 'rejected'
    """They arrive, but none can be used."""


class Finding(NamedTuple):
    """One statement about a node or a camera."""

    level: Level
    text: str


class NodeFacts(NamedTuple):
    """Facts about a node."""

    is_alive: bool = True
    """Whether its worker runs."""
    state: str = 'running'
    """State of the engines, human-readable."""
    is_running: bool = True
    """Whether the engines are open."""
    fault: str = ''
    """Why the engines are not open; '' = they are, or are being opened."""
    busy_s: float = 0.0
    """Time that the present frame has been processed so far."""
    idle: str = ''
    """Why it takes no images on purpose, human-readable; '' = it takes them."""
    building: str = ''
    """Progress of the build of an engine; '' = none is built."""


class CameraFacts(NamedTuple):
    """Facts about a camera since the last status, about a second ago."""

    interval_s: float = 1.0
    counts: Mapping[str, int] = {}
    """Frames `received`, `processed`, `idle`, and those dropped by reason."""
    ever_received: int = 0
    """Images since the start."""
    rejected: int = 0
    """Unusable images in a row, up to now."""
    silent_s: float = 0.0
    """Time since the last image, or the start."""
    publishers: int = 1
    """Number of publishers of the image topic."""
    sender_hz: float = 0.0
    """Rate at which the camera takes images, from their stamps; 0 = unknown."""
    complaint: str = ''
    """Faults of the arrival of images."""
    clock_complaint: str = ''
    """Faults of their stamps."""
    error: str = ''
    """Error of the last image that could not be used."""
    missing: Sequence[Tuple[str, str]] = ()
    """Task, and why it had no result for the last frame: 'NAME: details'."""
    min_hz: float = 0.0
    """Lowest expected rate of results; 0 = none."""

    def hz(self, key: str) -> float:
        """Return how many frames per second are counted under a name."""
        return self.counts.get(key, 0) / self.interval_s if self.interval_s > 0 else 0.0


def input_state(facts: CameraFacts) -> InputState:
    """Return the state of a camera's images."""
    if not facts.ever_received:
        return InputState.WAITING
    if facts.silent_s > SILENCE_S:
        return InputState.STALLED
    return InputState.REJECTED if facts.rejected >= _REJECTED else InputState.RECEIVING


def node_findings(facts: NodeFacts) -> List[Finding]:
    """Return the findings on a node, independent of its cameras; none while it runs normally."""
    if not facts.is_alive:
        return [Finding(Level.ERROR, 'the worker has ended; see the log')]
    if facts.is_running and facts.busy_s > STUCK_S:
        return [Finding(Level.ERROR, 'one frame has been in work for {:.0f} s: the inference runtime hangs'.format(
            facts.busy_s))]
    if facts.fault:
        return [Finding(Level.ERROR, '{}: {}'.format(facts.state, facts.fault))]
    if facts.idle:
        return [Finding(Level.OK, facts.idle)]
    if not facts.is_running:
        return [Finding(Level.WARN if facts.building else Level.OK, facts.building or facts.state)]
    return []


def camera_findings(facts: CameraFacts) -> List[Finding]:
    """Return the findings on a camera of a running node; none if all is well."""
    return [finding for rule in (_unusable, _arrival, _far_below, _missing, _slow) for finding in rule(facts)]


def summary(findings: Sequence[Finding], fine: str) -> Finding:
    """Return the worst level of the findings, with the texts of all of that level; `fine` if there are none."""
    if not findings:
        return Finding(Level.OK, fine)
    worst = max(finding.level for finding in findings)
    texts = [finding.text for finding in findings if finding.level == worst]
    return Finding(worst, '; '.join(dict.fromkeys(texts)))


def _unusable(facts: CameraFacts) -> List[Finding]:
    dropped = {reason: facts.counts.get(reason, 0) for reason in UNUSABLE}
    if not any(dropped.values()):
        return [Finding(Level.WARN, facts.clock_complaint)] if facts.clock_complaint and facts.counts.get(
            'received') else []
    text = 'frames dropped: ' + ', '.join('{} {}'.format(*each) for each in dropped.items() if each[1])
    if dropped['bad'] or dropped['engine_fault']:
        text += '; last error: ' + facts.error
    elif facts.clock_complaint:
        text += '. ' + facts.clock_complaint
    rejected = input_state(facts) == InputState.REJECTED
    return [Finding(Level.ERROR if rejected else Level.WARN, text)]


def _arrival(facts: CameraFacts) -> List[Finding]:
    if not facts.complaint:
        return []
    # Without a publisher, the camera has not been started yet: normal for a node that was just started.
    stalled = facts.silent_s > SILENCE_S and facts.publishers > 0
    return [Finding(Level.ERROR if stalled else Level.WARN, facts.complaint)]


def _far_below(facts: CameraFacts) -> List[Finding]:
    received_hz = facts.hz('received')
    if facts.complaint or not 0 < received_hz < _FAR_BELOW * facts.sender_hz:
        return []
    return [Finding(Level.WARN, 'received {:.1f} images/s of a camera that takes {:.0f}, by their stamps: the others '
                                'are lost on the way. See `trt_perception doctor`'.format(
                                    received_hz, facts.sender_hz))]


def _missing(facts: CameraFacts) -> List[Finding]:
    return [Finding(Level.WARN, 'no {}: {}'.format(task, reason)) for task, reason in facts.missing
            if reason != FIRST_IMAGE]


def _slow(facts: CameraFacts) -> List[Finding]:
    wanted = facts.min_hz and not facts.counts.get('idle') and facts.ever_received
    if not wanted or facts.hz('processed') >= facts.min_hz or facts.silent_s > SILENCE_S:
        return []
    return [Finding(Level.WARN, '{:.1f} results/s, expected at least min_rate, {:g}'.format(
        facts.hz('processed'), facts.min_hz))]

"""The rules of a node's diagnostics: from facts about the node and its cameras to levels and texts.

WARN: results are missing, late or doubtful. ERROR: nothing comes out, or nothing can be trusted until that is mended.
"""
import enum
from typing import List, Mapping, NamedTuple, Sequence, Tuple

STUCK_S = 5.0
"""A frame that takes longer hangs."""
SILENCE_S = 5.0
"""No camera is so slow."""
_REJECTED = 5
"""This many unusable images in a row are not an accident."""
_FAR_BELOW = 0.5
"""Of the sender's rate. Cameras whose exposure varies stay above it."""
UNUSABLE = ('bad', 'too_old', 'engine_fault')
"""Counters of frames that arrived and gave no result."""
FIRST_IMAGE = 'first image'
"""Why there is no result of two images: the only reason that is expected."""


class Level(enum.IntEnum):
    """As in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class InputState(enum.Enum):
    """What a camera's images do, in Autoware's words."""

    RECEIVING = 'receiving'
    WAITING = 'waiting'
    """None has come yet."""
    STALLED = 'stalled'
    """They came, and have stopped."""
    REJECTED = 'rejected'
    """They come, and none can be used."""


class Finding(NamedTuple):
    """One statement about a node or a camera."""

    level: Level
    text: str


class NodeFacts(NamedTuple):
    """What is known about a node."""

    is_alive: bool = True
    """Whether its worker runs."""
    state: str = 'running'
    """What the engines are doing, human-readable."""
    is_running: bool = True
    """Whether the engines are open."""
    fault: str = ''
    """Why the engines are not open; '' = they are, or are being opened."""
    busy_s: float = 0.0
    """For how long the frame in hand has been worked on."""
    idle: str = ''
    """Why it takes no images on purpose, human-readable; '' = it takes them."""
    building: str = ''
    """How far the build of an engine is; '' = none is built."""


class CameraFacts(NamedTuple):
    """What is known about a camera since the last status, about a second ago."""

    interval_s: float = 1.0
    counts: Mapping[str, int] = {}
    """Frames `received`, `processed`, `idle`, and those dropped by reason."""
    ever_received: int = 0
    """Images since the start."""
    rejected: int = 0
    """Images in a row, up to now, that could not be used."""
    silent_s: float = 0.0
    """Since the last image, or the start."""
    publishers: int = 1
    """Of the image topic."""
    sender_hz: float = 0.0
    """Rate at which the camera takes images, as their stamps tell; 0 = they do not."""
    complaint: str = ''
    """What is wrong with the arrival of images."""
    clock_complaint: str = ''
    """What is wrong with their stamps."""
    error: str = ''
    """Text of the last image that could not be used."""
    missing: Sequence[Tuple[str, str]] = ()
    """Task, and why it had no result for the last frame: 'NAME: details'."""
    min_hz: float = 0.0
    """Rate of results that is expected; 0 = none."""

    def hz(self, key: str) -> float:
        """Return how many frames a second count under a name."""
        return self.counts.get(key, 0) / self.interval_s if self.interval_s > 0 else 0.0


def input_state(facts: CameraFacts) -> InputState:
    """Return what a camera's images do."""
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
    """Return the worst of the findings with the texts of all that are as bad; `fine` if there are none."""
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
    # Without a publisher there is a camera to be started, which is what a node that was just started waits for.
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

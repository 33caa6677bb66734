"""One camera of a bag: its topics, and the pipelines that its images go through."""
import contextlib
import posixpath
from collections import Counter
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..bag import CAMERA_INFO, COMPRESSED_IMAGE, Bag
from ..core.cameras import NAME
from ..core.data import Frame
from ..core.errors import ConfigError, FrameError
from ..core.frame_in_hand import FrameInHand
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.pipeline import Pipeline
from ..core.settings import Settings
from ..core.tasks import TASKS, carrying_class, pipeline_class, publishers_class
from ..ros.messages import frame_from_compressed, frame_from_image
from ..ros.publishers import TaskPublishers
from .bag_sink import BagSink
from .bag_types import BagTypes
from .engines import Engines

_SUFFIX = '/compressed'

_Runs = Tuple[Pipeline[Any], TaskPublishers]


class CameraTopics(NamedTuple):
    """The topics of a camera."""

    image: str
    info: str
    namespace: str
    """Namespace of its results, without slashes around it; '' = none."""


def find_cameras(bag: Bag, chosen: Sequence[Tuple[str, Optional[str]]], names: Sequence[str]) -> List[CameraTopics]:
    """Return the cameras of a bag.

    Args:
        chosen: (image topic, namespace) of each; empty = those of the names, or without names all image topics except
            results of ours, and only raw ones if there are both.
        names: names of the cameras of a node, whose images are on NAME/image.

    Raises:
        ConfigError: there is no such topic, or two cameras have the same namespace.
    """
    images = [topic for topic, kind in bag.types.items() if kind != CAMERA_INFO]
    if not chosen and any(names):
        chosen = [(next((each for each in images if _base(each) == '/{}/image'.format(name)),
                        '/{}/image'.format(name)), name) for name in names]
    if not chosen:
        ours = tuple('/' + name + '/' for name in TASKS)
        topics = [topic for topic in images if not any(each in topic for each in ours)
                  and not (topic.endswith(_SUFFIX) and topic[:-len(_SUFFIX)] in images)] or images
        chosen = [(topic, None) for topic in topics]
    for topic, _ in chosen:
        if topic not in images:
            raise ConfigError('topic {}: not among the image topics of the bag: {}. Choose one of those.'.format(
                topic, ', '.join(images)))
    cameras = []
    for topic, name in chosen:
        parent = posixpath.dirname(_base(topic))
        if name is None:
            name = parent if len(chosen) > 1 else ''
        elif not NAME.fullmatch(name.strip('/') or 'none'):
            raise ConfigError('namespace {!r}: expected letters, digits, _ and /, each part beginning with a letter. '
                              'Give another: --topics TOPIC:=NAMESPACE.'.format(name))
        cameras.append(CameraTopics(topic, posixpath.join(parent, 'camera_info'), name.strip('/')))
    for key, what in (('image', 'topic'), ('namespace', 'namespace')):
        values = [getattr(each, key) for each in cameras]
        for value in values:
            if values.count(value) > 1:
                raise ConfigError('{} {!r}: {} cameras have it ({}), expected one. Give each its own: --topics '
                                  'TOPIC:=NAMESPACE.'.format(what, value, values.count(value),
                                                             ', '.join(each.image for each in cameras)))
    return cameras


class Camera:
    """Runs the tasks on the images of one camera, and writes what a node would publish.

    Args:
        kind: message type of its images.
        models: by task.
        decoder: shared with the engines.
    """

    def __init__(self, topics: CameraTopics, kind: str, models: Mapping[str, Model], settings: Settings,
                 decoder: FrameDecoder, types: BagTypes, sink: BagSink) -> None:
        self.topics = topics
        self._kind = kind
        self._settings = settings
        self._types = types
        self._sink = sink
        self._info: Any = None
        read = frame_from_compressed if kind == COMPRESSED_IMAGE else frame_from_image
        self._frame_of = partial(read, mono16_bits=settings['mono16_bits'])
        self._models = models
        self._publishers: Dict[str, TaskPublishers] = {
            task: publishers_class(task)(sink, model, settings, decoder) for task, model in models.items()}
        self._pipelines: List[_Runs] = []
        self._remember: List[_Runs] = []
        self._counts: List[Dict[str, int]] = []
        self._in_hand = FrameInHand()

    def watched(self) -> List[str]:
        """Return the tasks that have topics to write."""
        return [task for task, publishers in self._publishers.items() if publishers.watched()]

    def connect(self, engines: Engines, number: int) -> None:
        """Make the pipelines of the tasks that have topics to write.

        Args:
            engines: engines shared by all cameras.
            number: number of this camera.
        """
        for task in self.watched():
            model, publishers = self._models[task], self._publishers[task]
            more: Dict[str, Any] = {}
            carrying = carrying_class(task, self._settings)
            if carrying is not None:
                more = {'flow_engine': engines.carrying(self._settings), 'shared_flow': self._in_hand.shared_flow,
                        'counts': Counter()}
                self._counts.append(more['counts'])
            pipeline = (carrying or pipeline_class(task))(
                engines.get(model, self._settings), model, self._settings, allocate=publishers.allocate,
                wants=publishers.wants, camera=number, **more)
            self._pipelines.append((pipeline, publishers))
            if carrying is not None or TASKS[task].images > 1:
                self._remember.append((pipeline, publishers))

    def take_info(self, data: bytes) -> None:
        """Take a serialised calibration, which is valid until the next."""
        try:
            self._info = self._types.deserialize(data, CAMERA_INFO)
        except Exception as error:  # Rosbags raises many kinds of errors for invalid bytes.
            self._sink.warn('{}: {} bytes are no CameraInfo: {}'.format(self.topics.info, len(data), error))

    def process(self, data: bytes) -> bool:
        """Run the tasks on a serialised image and write the results.

        Returns:
            Whether results of later images are independent of images before this one.

        Raises:
            FrameError: the image cannot be used.
            EngineError: an engine failed.
        """
        frame = self._frame(data)
        before = [counts['carried'] for counts in self._counts]
        for publishers, result in self._results(frame, self._pipelines):
            if result is not None:
                publishers.publish(frame, result, self._info)
        return before == [counts['carried'] for counts in self._counts]

    def prime(self, data: bytes) -> None:
        """Give an image to the tasks that pair it with the next, and write nothing; ignore an unusable one.

        Raises:
            EngineError: an engine failed.
        """
        self._show(data, [each for each in self._pipelines if TASKS[each[0].task].images > 1])

    def repeat(self, data: bytes) -> None:
        """Repeat what `process` did with an image in an earlier run, but write nothing.

        Raises:
            EngineError: an engine failed.
        """
        self._show(data, self._remember)

    def _show(self, data: bytes, pipelines: List[_Runs]) -> None:
        with contextlib.suppress(FrameError):
            for _ in self._results(self._frame(data), pipelines):
                pass

    def _results(self, frame: Frame, pipelines: List[_Runs]) -> Iterator[Tuple[TaskPublishers, Any]]:
        self._in_hand.take(frame, [pipeline for pipeline, _ in pipelines])
        for pipeline, publishers in pipelines:
            yield publishers, self._in_hand.result(pipeline)

    def _frame(self, data: bytes) -> Frame:
        try:
            message = self._types.deserialize(data, self._kind)
        except Exception as error:  # As above.
            raise FrameError('recorded message: got {} bytes that are no {}: {}'.format(
                len(data), self._kind, error)) from error
        return self._frame_of(message)


def _base(topic: str) -> str:
    """Return the name of an image topic without its transport."""
    return topic[:-len(_SUFFIX)] if topic.endswith(_SUFFIX) else topic

"""A camera of a node: its topics, whether its images arrive, and what to report if they do not."""
import time
from typing import Any, Callable

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..core.sender_rate import SenderRate
from ..transport import loss_remedy
from .camera_subscription import CameraSubscription
from .qos import BEST_EFFORT

WATCH_PERIOD_S = 0.25
_SILENCE_S = 5.0
_EVERY_S = 30.0
_MANY = 0.1  # Fewer do no harm: the node takes the newest image in any case.
_SUFFIX = '/compressed'
_MIXED = '{} publishers on {}: {}. Their images cannot be told apart, so there is no flow. Give each camera a topic ' \
         'of its own.'


class Camera:
    """Subscribes to a camera's images and calibration, and monitors both.

    Args:
        namespace: prefix of its topics: 'front/', or ''.
        compressed: whether to take the images from TOPIC/compressed.
        take_image, take_info: called with each message.

    Attributes:
        image, info: the two subscriptions.
        complaint: fault of the arrival of images, human-readable; '' = none.
        received: number of images so far.
        is_mixed: whether several publishers send on the image topic, so that successive images may be of two cameras.
    """

    def __init__(self, node: Node, namespace: str, compressed: bool, take_image: Callable[[Any], None],
                 take_info: Callable[[CameraInfo], None]) -> None:
        self.complaint = ''
        self.is_mixed = False
        self._node = node
        self._namespace = namespace
        self._take_image = take_image
        # Remapping `image` moves its siblings too, as in image_transport.
        topic = _resolved(node, namespace + 'image', Image)
        if compressed and topic.endswith(_SUFFIX):
            topic = topic[:-len(_SUFFIX)]  # The full name of the topic is accepted, too.
        info = _resolved(node, namespace + 'camera_info', CameraInfo)
        if info == '{}/{}camera_info'.format(node.get_namespace().rstrip('/'), namespace):  # Not remapped itself.
            info = topic.rsplit('/', 1)[0] + '/camera_info'
        self.image = CameraSubscription(node, CompressedImage if compressed else Image,
                                        topic + _SUFFIX if compressed else topic, self._take)
        self.info = CameraSubscription(node, CameraInfo, info, take_info, latched=True)
        self.received = 0
        self._sender = SenderRate()
        self._clock_ns = 0
        self._image_bytes = 0
        self._seen = (0, 0)
        self._counts = (0, 0)
        self._logged = ('', 0.0)
        self._is_losing = False
        self._since_s = self._counted_s = self._clock_since_s = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Time without an image, since the last one or the last change of publishers."""
        return time.monotonic() - self._since_s

    @property
    def sender_hz(self) -> float:
        """Images per second that the camera takes, from their stamps; 0 = unknown."""
        return 0.0 if self.is_mixed else self._sender.hz

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in (self.image, self.info):
            subscription.close()

    def _take(self, message: Any) -> None:
        self.received += 1
        stamp = message.header.stamp
        self._sender.add(stamp.sec * 10**9 + stamp.nanosec)
        self._image_bytes = len(message.data)
        self._take_image(message)

    def watch(self) -> None:
        """Check the publishers and whether images arrive; to be called every WATCH_PERIOD_S."""
        for subscription in (self.image, self.info):
            subscription.update()
        now_s = time.monotonic()
        publishers = self.image.publishers
        if len(publishers) > 1 and not self.is_mixed:
            self._node.get_logger().warning(_MIXED.format(len(publishers), self.image.topic_name, self._names()))
        self.is_mixed = len(publishers) > 1
        seen = self.received, len(publishers)
        if seen != self._seen:  # An image or a publisher has come; the latter may take its time.
            self._seen, self._since_s = seen, now_s
        if self._stopped_clock(now_s):
            return
        if now_s - self._counted_s > 1.0:
            self._look_at_losses(now_s)
        if not self._is_losing:
            if now_s - self._since_s > _SILENCE_S:
                self._explain_silence(now_s - self._since_s)
            elif self.is_mixed:
                self.complaint = _MIXED.format(len(publishers), self.image.topic_name, self._names())

    def _names(self) -> str:
        return ', '.join(_name(each) for each in self.image.publishers)

    def _stopped_clock(self, now_s: float) -> bool:
        """Complain if use_sim_time is on and the time stands still; return whether it does."""
        clock_ns = self._node.get_clock().now().nanoseconds
        if clock_ns != self._clock_ns:
            self._clock_ns, self._clock_since_s = clock_ns, now_s
            return False
        stopped_s = now_s - self._clock_since_s
        if stopped_s > _SILENCE_S and clock_ns:
            self._complain('pause', 'The time on /clock has stood still for {:.0f} s. Let the bag go on.'.format(
                stopped_s))
        elif stopped_s > _SILENCE_S:
            self._complain('clock', 'use_sim_time is on, but no time comes on /clock. Play the bag with --clock, or '
                                    'start the node without use_sim_time.')
        return not clock_ns or stopped_s > _SILENCE_S

    def _explain_silence(self, silent_s: float) -> None:
        topic, asked = self.image.topic_name, self.image.qos_profile
        publishers = self._node.get_publishers_info_by_topic(topic)  # Also those of another type.
        if not publishers:
            self._complain('nobody', "No publisher on {}. Remap `{}image` to the camera's topic.".format(
                topic, self._namespace))
            return
        offers = '; '.join('{} offers {}, {}, {}'.format(
            _name(info), info.topic_type, info.qos_profile.reliability.name, info.qos_profile.durability.name)
            for info in publishers)
        self._complain('silence', (
            'No image on {} for {:.0f} s although there is a publisher. Asked for: {}, {}, {}. {}. Check that types '
            'and QoS fit; if they do, images may be lost on the way: see `trt_perception doctor`.').format(
                topic, silent_s, self.image.type_name, asked.reliability.name, asked.durability.name, offers))

    def _look_at_losses(self, now_s: float) -> None:
        """Complain of images that were lost since the last call, about a second ago."""
        received, lost = (now - before for now, before in zip((self.received, self.image.lost), self._counts))
        self._counts, self._counted_s = (self.received, self.image.lost), now_s
        self._is_losing = lost > _MANY * (lost + received)
        if self._is_losing:
            self._complain('losses', '{} of {} images on {} were lost on the way. {}'.format(
                lost, lost + received, self.image.topic_name, loss_remedy(self._image_bytes)))
        else:
            self.complaint = ''

    def _complain(self, what: str, text: str) -> None:
        """Record a complaint, and log it unless the same one was logged recently."""
        self.complaint = text
        now_s = time.monotonic()
        if what != self._logged[0] or now_s - self._logged[1] > _EVERY_S:
            self._logged = what, now_s
            self._node.get_logger().warning(text)


def _name(publisher: Any) -> str:
    return publisher.node_namespace.rstrip('/') + '/' + publisher.node_name


def _resolved(node: Node, topic: str, kind: type) -> str:
    """Return the full name of a topic after remapping."""
    if hasattr(node, 'resolve_topic_name'):
        return str(node.resolve_topic_name(topic))
    subscription = node.create_subscription(kind, topic, lambda _: None, BEST_EFFORT)  # Foxy
    name = str(subscription.topic_name)
    node.destroy_subscription(subscription)
    return name

"""Whatever the fields of an Image message say, it becomes a Frame that can be looked at, or is refused."""
import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as some
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trt_perception.core.errors import FrameError
from trt_perception.core.image import ENCODINGS, FrameDecoder
from trt_perception.ros.messages import frame_from_image, header
from trt_perception.ros.node_sink import ROS

SIZES = some.one_of(some.integers(0, 12), some.sampled_from([480, 65535, 2**31 - 1, 2**31, 2**32 - 1]))
ENCODING = some.one_of(some.sampled_from(sorted(ENCODINGS)), some.text(max_size=12))
STAMPS = some.builds(Time, sec=some.integers(-2**31, 2**31 - 1), nanosec=some.integers(0, 2**32 - 1))
MESSAGES = some.builds(
    Image, header=some.builds(Header, stamp=STAMPS, frame_id=some.text(max_size=8)), height=SIZES, width=SIZES,
    step=SIZES, encoding=ENCODING, is_bigendian=some.integers(0, 255), data=some.binary(max_size=600))


@given(message=MESSAGES, bits=some.integers(8, 16))
@settings(max_examples=1500, deadline=None)
def test_any_image_message_becomes_a_frame_or_is_refused(message, bits):
    try:
        frame = frame_from_image(message, bits)
    except FrameError:
        return
    assert (frame.height, frame.width) == (message.height, message.width)
    made = header(ROS, frame.stamp_ns, frame.frame_id)
    assert serialize_message(made) == serialize_message(message.header)
    for color, channels in (('rgb', (3,)), ('bgr', (3,)), ('gray', ())):
        image = FrameDecoder().image(frame, color, (frame.height, frame.width))
        assert (image.dtype, image.shape) == (np.uint8, (frame.height, frame.width) + channels)

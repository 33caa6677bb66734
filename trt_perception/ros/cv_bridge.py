"""Images in encodings that core.image does not know, converted by ROS's cv_bridge where that is installed.

A slow path: cv_bridge allocates and copies each image. Common encodings of cameras do not need it.
"""
import functools
import importlib
from typing import Any

import numpy as np

from ..core.errors import FrameError
from ..core.limits import MAX_IMAGE_PIXELS


@functools.lru_cache(maxsize=None)
def bridge() -> Any:
    """Return a CvBridge; None = cv_bridge cannot be imported here."""
    try:
        return importlib.import_module('cv_bridge').CvBridge()
    except Exception as error:  # If it was built for another numpy or OpenCV, it raises any error.
        if not isinstance(error, ImportError):
            _warn('cv_bridge cannot be used here: {}'.format(error))
        return None


def to_bgr8(message: Any) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 BGR.

    Raises:
        FrameError: cv_bridge does not know the encoding either, or the fields do not fit together.
    """
    if not 0 < message.height * message.width <= MAX_IMAGE_PIXELS:
        raise FrameError('image size: got {}x{}, expected 1 to {} px in all.'.format(
            message.height, message.width, MAX_IMAGE_PIXELS))
    try:
        pixels = np.ascontiguousarray(bridge().imgmsg_to_cv2(message, 'bgr8'))
    except Exception as error:  # CvBridgeError, cv2.error, TypeError, KeyError: it has few checks.
        reason = str(error).strip().rstrip('.') or type(error).__name__
        raise FrameError('image encoding: got {!r}, which cv_bridge cannot convert to bgr8: {}. Convert in the camera '
                         'driver.'.format(message.encoding[:80], reason)) from error
    _warn(
        'Images in encoding {!r} go through cv_bridge, which copies each of them. An encoding that the node reads in '
        'place is faster: see docs/topics.md.'.format(message.encoding))
    return pixels


def _warn(text: str) -> None:
    from rclpy.logging import get_logger  # Not above: this module is imported where there is no ROS, too.
    get_logger('trt_perception').warning(text, once=True)

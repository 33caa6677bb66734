"""Random images, the camera frames that show them, and image files."""
import cv2
import numpy as np

from trt_perception.core.image import frame_from_array


def random_image(seed, channels=3, size=(6, 8)):
    """Return (H, W, channels) uint8 of random grey levels."""
    return np.random.RandomState(seed).randint(0, 256, tuple(size) + (channels,)).astype(np.uint8)


def frame_showing(rgb, stamp_ns=0):
    """Return a bgr8 frame of (H, W, 3) RGB, or of (H, W, 1) gray."""
    return frame_from_array(np.ascontiguousarray(np.broadcast_to(rgb[..., ::-1], rgb.shape[:2] + (3,))), stamp_ns)


def write_image(path, image):
    """Write (H, W) or (H, W, 3) BGR, uint8 or uint16, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)

"""A test pattern: a texture that moves by the same few pixels from image to image, so that the flow is known."""
from typing import Callable, Optional

import numpy as np

from ..core.data import Frame
from ..core.errors import ConfigError
from ..core.image import frame_from_array
from ..core.image_source import ImageSource, SourceOptions
from .pace import Pace

STEP_PX = (3, 1)
"""Motion of the pattern per image, px: (right, down)."""
_SIZE = (480, 640)
_RATE_HZ = 30.0
_CELL_PX = 16


class PatternSource(ImageSource):
    """Returns a moving texture."""

    def __init__(self, options: SourceOptions, now_ns: Callable[[], int]) -> None:
        super().__init__(options, now_ns)
        if options.encoding not in ('', 'rgb8'):
            raise ConfigError("encoding: got {!r}, expected '' or rgb8 for the test pattern.".format(options.encoding))
        self._texture = _texture(options.height or _SIZE[0], options.width or _SIZE[1])
        self._pace = Pace(options.rate_hz or _RATE_HZ)
        self._count = 0

    def __str__(self) -> str:
        return 'a test pattern of {}x{} px'.format(*self._texture.shape[:2])

    def read(self, timeout_s: float) -> Optional[Frame]:
        """Return the next image of the pattern."""
        if not self._pace.wait(timeout_s):
            return None
        right, down = (each * self._count for each in STEP_PX)
        self._count += 1
        return frame_from_array(np.roll(self._texture, (down, right), (0, 1)), self.now_ns(), self.options.frame_id,
                                'rgb')

    def close(self) -> None:
        """Do nothing: nothing is open."""


def _texture(height: int, width: int) -> np.ndarray:
    """Return (height, width, 3) uint8: random colours with smooth transitions, which optical flow can follow."""
    rows, columns = -(-height // _CELL_PX), -(-width // _CELL_PX)
    cells = np.random.RandomState(0).randint(0, 256, (rows, columns, 3)).astype(np.float32)
    y, x = np.arange(height) / _CELL_PX, np.arange(width) / _CELL_PX
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top).astype(np.float32)[:, None, None], (x - left).astype(np.float32)[None, :, None]
    lower, next_column = (top + 1) % rows, (left + 1) % columns
    upper_row = cells[top][:, left] * (1 - right) + cells[top][:, next_column] * right
    lower_row = cells[lower][:, left] * (1 - right) + cells[lower][:, next_column] * right
    return (upper_row * (1 - down) + lower_row * down).astype(np.uint8)

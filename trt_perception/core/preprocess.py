"""Frame -> input tensor, into memory allocated once. The reference for the CUDA kernel of the TensorRT back-end."""
import numpy as np

from .data import Frame, TensorSpec
from .errors import EngineError
from .image import FrameDecoder
from .model import CHANNELS, ModelInput
from .tensors import image_layout


class InputWriter:
    """Fills one image input of a network as the model's YAML says: decode, resize, normalise, lay out.

    A float32 or float16 input gets `(grey level - mean) / std`; a uint8 input gets the grey levels unchanged. All
    may be NHWC or NCHW.

    Raises:
        EngineError: the network's input is none of these.
    """

    def __init__(self, spec: TensorSpec, image: ModelInput, decoder: FrameDecoder, where: str) -> None:
        channels = CHANNELS[image.color]
        expected = '(1, H, W, {0}) or (1, {0}, H, W), uint8, float32 or float16, for color {1}'.format(
            channels, image.color)
        layout = image_layout(spec.shape, channels)
        if layout is None or spec.dtype not in (np.uint8, np.float32, np.float16):
            raise EngineError('{}: input {!r}: got {} {}, expected {}. Export the network with a static shape and '
                              'batch 1, or correct `color` in the model YAML.'.format(
                                  where, spec.name, np.dtype(spec.dtype).name, tuple(spec.shape), expected))
        self._layout = layout
        self.size = layout.size
        """(height, width) of the network's input image."""
        self._color = image.color
        self._normalise = spec.dtype != np.uint8
        # A float16 plane is computed here, so that it is rounded once.
        self._plane = np.empty(self.size, np.float32) if spec.dtype == np.float16 else None
        self._mean = image.mean
        self._std = image.std
        self._decoder = decoder

    def write(self, frame: Frame, tensor: np.ndarray) -> None:
        """Write one frame into `tensor`, which has the shape and dtype of the spec.

        Raises:
            FrameError: the frame cannot be decoded; `tensor` is then unchanged.
        """
        image = self._decoder.image(frame, self._color, self.size)
        if image.ndim == 2:
            image = image[..., np.newaxis]
        pixels = self._layout.pixels(tensor)
        if not self._normalise:
            pixels[...] = image
            return
        for channel in range(image.shape[2]):  # Per plane: no temporary float image.
            plane = pixels[..., channel] if self._plane is None else self._plane
            np.subtract(image[..., channel], self._mean[channel], out=plane)
            plane /= self._std[channel]
            if self._plane is not None:
                pixels[..., channel] = self._plane

"""Requirements on the tensors of a network: a static shape and a known type; images as NHWC or NCHW."""
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .data import Size, TensorSpec
from .errors import EngineError


def static_spec(file: str, name: str, shape: Sequence[Any], kind: Any, dtypes: Optional[Mapping[Any, Any]] = None
                ) -> TensorSpec:
    """Return the spec of a tensor as a runtime describes it.

    Args:
        file: the network's file, for the texts of errors.
        shape: sides that are not positive numbers are dynamic.
        kind: the runtime's type.
        dtypes: numpy's type by the runtime's; None = `kind` is one.

    Raises:
        EngineError: the shape is dynamic, or there is no such type.
    """
    if not all(isinstance(side, int) and side > 0 for side in shape):
        raise EngineError('{}: {!r} has the dynamic shape {}, expected fixed sizes. `trt_perception_tools '
                          'import-model` makes it static, with batch 1.'.format(file, name, list(shape)))
    if dtypes is not None and kind not in dtypes:
        raise EngineError('{}: {!r} is a {}, expected one of {}.'.format(
            file, name, kind, ', '.join(sorted(str(each) for each in dtypes))))
    return TensorSpec(name, tuple(shape), np.dtype(kind if dtypes is None else dtypes[kind]))


class ImageLayout(NamedTuple):
    """Layout of a tensor of batch 1 with an image, or other data with channels per pixel."""

    size: Size
    channels: int
    channels_last: bool
    """(1, H, W, C); else (1, C, H, W)."""

    def pixels(self, tensor: np.ndarray) -> np.ndarray:
        """Return the (H, W, C) view of a tensor."""
        view: np.ndarray = tensor[0] if self.channels_last else tensor[0].transpose(1, 2, 0)
        return view

    @property
    def strides(self) -> Tuple[int, int]:
        """Elements from one channel to the next, and from one pixel to its right neighbour."""
        if self.channels_last:
            return 1, self.channels
        return self.size[0] * self.size[1], 1


def image_layout(shape: Sequence[int], channels: int) -> Optional[ImageLayout]:
    """Return the layout of a tensor for an image with this number of channels; None if its shape does not fit.

    If both are possible, channels are last.
    """
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1 or channels not in (shape[1], shape[3]):
        return None
    if shape[3] == channels:
        return ImageLayout((shape[1], shape[2]), channels, True)
    return ImageLayout((shape[2], shape[3]), channels, False)


def map_size(shape: Sequence[int]) -> Optional[Size]:
    """Return the size of a tensor that ends in (H, W) and has one value per pixel; None when it is something else."""
    if len(shape) < 2 or int(np.prod(shape[:-2])) != 1:
        return None
    return shape[-2], shape[-1]

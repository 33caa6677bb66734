"""Runs a third-party network, with constant shapes, in ONNX Runtime."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort

from trt_perception.core.errors import ConfigError


def run_each(network: onnx.ModelProto, each_feeds: Sequence[Mapping[str, np.ndarray]], where: str
             ) -> list[dict[str, np.ndarray]]:
    """Run a static network on each of some inputs and return its outputs by name.

    Raises:
        ConfigError: ONNX Runtime cannot; the text carries its reason.
    """
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(network.SerializeToString(), settings, providers=['CPUExecutionProvider'])
        names = [each.name for each in session.get_outputs()]
        return [{name: np.asarray(array) for name, array in zip(names, session.run(None, dict(feeds)), strict=True)}
                for feeds in each_feeds]
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        shapes = ', '.join(f'{name} {array.shape}' for name, array in each_feeds[0].items())
        reason = str(error).splitlines()[0].rstrip('.')
        raise ConfigError(f'{where}: ONNX Runtime {ort.__version__} cannot run it on {shapes}: {reason}') from error

"""Callbacks of TensorRT's builder: progress, and images for INT8 calibration.

Each exists only if TensorRT has the interface. __init__ of the interface is called by name, because super() does not
work with pybind11.
"""
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import tensorrt as trt

from ...core.data import TensorSpec
from ...core.model import Model
from ..backends import Progress
from . import calibration
from .cuda import Gpu

_TELL_S = 0.2

if hasattr(trt, 'IProgressMonitor'):  # 8.6 has none, 10.0 has.
    class ProgressMonitor(trt.IProgressMonitor):
        """Reports the progress of each phase of a build. Called from several threads."""

        def __init__(self, report: Progress) -> None:
            trt.IProgressMonitor.__init__(self)
            self._report = report
            self._lock = threading.Lock()
            self._phases: Dict[str, Tuple[int, int]] = {}
            self._told_s = 0.0

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            """Record a phase."""
            self._note(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Record a step; True = the build continues."""
            self._note(phase_name, step + 1, self._phases.get(phase_name, (0, 0))[1])
            return True

        def phase_finish(self, phase_name: str) -> None:
            """Forget a phase."""
            with self._lock:
                self._phases.pop(phase_name, None)

        def _note(self, name: str, step: int, steps: int) -> None:
            with self._lock:
                self._phases[name] = (step, steps)
                if time.monotonic() - self._told_s >= _TELL_S:
                    self._told_s = time.monotonic()
                    self._report(', '.join('{} {}/{}'.format(each, *self._phases[each]) for each in self._phases))


if hasattr(trt, 'IInt8EntropyCalibrator2'):  # Up to 10: 11 takes the scales only from the network's Q/DQ nodes.
    class EntropyCalibrator(trt.IInt8EntropyCalibrator2):
        """Gives TensorRT the images of a folder, or the table of an earlier calibration.

        Args:
            network: the network whose inputs get the images.
            folder: '' = no images.
            table: `self.table` of an earlier calibration; b'' = none.
        """

        def __init__(self, model: Model, network: 'trt.INetworkDefinition', gpu: Gpu, folder: str, table: bytes,
                     report: Progress) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.table = table
            self._gpu = gpu
            images = calibration.images_of(folder) if folder else []
            inputs = [network.get_input(number) for number in range(network.num_inputs)]
            specs = [TensorSpec(tensor.name, tuple(tensor.shape), np.dtype(np.float32)) for tensor in inputs]
            self._staged = {spec.name: gpu.staging(spec.shape, spec.dtype) for spec in specs}
            self._batches = calibration.batches(model, specs, images, report)

        def get_batch_size(self) -> int:
            """Return 1, the batch size of engines."""
            return 1

        def get_batch(self, names: List[str]) -> Optional[List[int]]:
            """Return the device addresses of the next image's tensors; None = there is none."""
            tensors = next(self._batches, None)
            if tensors is None:
                return None
            for name in names:
                self._staged[name].fill(tensors[name])
            self._gpu.synchronize()
            return [self._staged[name].address for name in names]

        def read_calibration_cache(self) -> Optional[bytes]:
            """Return the table, so that no image is needed; None = there is none."""
            return self.table or None

        def write_calibration_cache(self, cache: Any) -> None:
            """Keep the new table."""
            self.table = bytes(cache)

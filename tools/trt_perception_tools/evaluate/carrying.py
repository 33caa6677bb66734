"""Agreement of labels carried along the flow, as by the nodes' parameter `propagate`, with a model's own."""
from __future__ import annotations

import time

import numpy as np

from trt_perception.bench.contender import RESTING
from trt_perception.core.carried_segmentation import CarriedSegmentation
from trt_perception.core.data import Frame
from trt_perception.core.engine import Engine
from trt_perception.core.model import Model
from trt_perception.engines import DEFAULT_OPTIONS, carrying_flow, open_engine

from .metrics import confusion_matrix, mean_iou
from .scorer import Carried


class CarriedLabels:
    """A model that segments every n-th image of a video, compared with the same model that segments all.

    Args:
        engine: engine of the model, shared with the one that segments all.
        table: (256,) uint8, scored class of each class id of the model; None = itself.
        camera: a camera of the engine with free inputs.
        threads: threads of the flow; 0 = all cores.
    """

    def __init__(self, model: Model, engine: Engine, table: np.ndarray | None, every: int, camera: int,
                 threads: int) -> None:
        assert model.labels is not None
        self.every = every
        self._table = table
        self._flow_engine = open_engine(*carrying_flow(DEFAULT_OPTIONS._replace(num_threads=threads)))
        self._pipeline = CarriedSegmentation(
            engine, model, {**RESTING, 'propagate': every}, camera=camera, flow_engine=self._flow_engine)
        classes = len(model.labels.classes)
        self._counts = np.zeros((classes, classes + 1), np.int64)
        self._seconds = self._all_seconds = 0.0

    def add(self, frame: Frame, own: np.ndarray, own_seconds: float) -> None:
        """Process the next frame.

        Args:
            own: its labels, (H, W) uint8, by the model that segments all.
            own_seconds: their time.
        """
        carried = self._pipeline.counts.get('carried', 0)
        start = time.perf_counter()
        result = self._pipeline.process(frame)
        self._seconds += time.perf_counter() - start
        self._all_seconds += own_seconds
        if result is not None and self._pipeline.counts.get('carried', 0) > carried:
            labels = result.labels if self._table is None else self._table[result.labels]
            self._counts += confusion_matrix(own, labels, len(self._counts))

    def result(self) -> Carried:
        """Return the results."""
        return Carried(mean_iou(self._counts), self._seconds / self._all_seconds)

    def close(self) -> None:
        """Close the engine of the flow."""
        self._flow_engine.close()

"""Support for exporting by tracing networks whose operations depend on the size of their input."""
from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def constants() -> Iterator[None]:
    """Make values that are computed from sizes inside this context constants: a graph is exported for one size."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        yield

"""The back-end of the runtime for a graph. Needs no torch, unlike the graphs themselves (export/heads.py)."""
from __future__ import annotations

from typing import Literal

Runtime = Literal['onnxruntime', 'tensorrt']
RUNTIMES: tuple[Runtime, ...] = ('onnxruntime', 'tensorrt')

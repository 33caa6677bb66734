"""Removes uint8 from a graph for TensorRT 8.2, which has no such type: images as floats, labels as INT32."""
from __future__ import annotations

import onnx
from onnx import ModelProto, TensorProto

from ..graphs.nested import all_nodes


def widen_bytes(network: ModelProto) -> bool:
    """Change UINT8 inputs to FLOAT and casts to UINT8 to INT32, in place; return whether the graph allows it.

    Grey levels are the same numbers in FLOAT. Casts of the results narrowed them to bytes, which the engine
    does itself.
    """
    widened = ModelProto()
    widened.CopyFrom(network)
    for value in widened.graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in all_nodes(widened.graph):
        if node.op_type == 'Cast':
            for each in node.attribute:
                if each.name == 'to' and each.i == TensorProto.UINT8:
                    each.i = TensorProto.INT32
    del widened.graph.value_info[:]
    for output in widened.graph.output:
        if output.type.tensor_type.elem_type == TensorProto.UINT8:
            output.type.tensor_type.elem_type = TensorProto.INT32
    try:
        onnx.checker.check_model(widened, full_check=True)
    except Exception:  # E.g. arithmetic with constants that are bytes: it stays unchanged, and is reported.
        return False
    network.CopyFrom(widened)
    return True

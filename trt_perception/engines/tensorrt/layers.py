"""In which precision layers compute: what a network asks for before its build, and what an engine got."""
import json
import re
from collections import Counter
from typing import Any, Dict, Sequence

import tensorrt as trt

# Layers of an engine that compute nothing.
_IDLE_LAYERS = ('Reformat', 'NoOp', 'Constant')
_TYPES = (('bf16', r'bf16|bfloat'), ('fp16', r'fp16|half'), ('int8', r'int8'), ('fp8', r'fp8'), ('fp32', r'fp32|float'))


def keep_fp32(network: 'trt.INetworkDefinition', parts: Sequence[str]) -> bool:
    """Keep the layers with one of the parts in their names in FP32, and return whether there are any."""
    found = False
    for layer in (network.get_layer(number) for number in range(network.num_layers)):
        if not any(part in layer.name for part in parts):
            continue
        outputs = [number for number in range(layer.num_outputs) if _is_float(layer.get_output(number))]
        if outputs or any(_is_float(layer.get_input(number)) for number in range(layer.num_inputs)):
            layer.precision = trt.DataType.FLOAT
            found = True
        for number in outputs:
            layer.set_output_type(number, trt.DataType.FLOAT)
    return found


def is_quantised(network: 'trt.INetworkDefinition') -> bool:
    """Whether the network has Q/DQ nodes, which need no calibration."""
    return any(network.get_layer(number).type == trt.LayerType.QUANTIZE for number in range(network.num_layers))


def obeying_flag() -> Any:
    """Return the builder flag by which layers compute in the precision that they were given."""
    # TensorRT before 8.2 has only the older name.
    if hasattr(trt.BuilderFlag, 'OBEY_PRECISION_CONSTRAINTS'):
        return trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS
    return trt.BuilderFlag.STRICT_TYPES


def count_precisions(information: str) -> Dict[str, int]:
    """Count an engine's layers by the type that they read.

    Args:
        information: the engine inspector's JSON, of an engine with detailed profiling verbosity.
    """
    counts: Dict[str, int] = Counter()
    for layer in json.loads(information).get('Layers', []):
        if isinstance(layer, dict) and layer.get('LayerType') not in _IDLE_LAYERS:
            tensors = layer.get('Inputs', []) + layer.get('Outputs', [])
            text = next((str(tensor['Format/Datatype']) for tensor in tensors if 'Format/Datatype' in tensor), '')
            for precision, pattern in _TYPES:
                if re.search(pattern, text, re.IGNORECASE):
                    counts[precision] += 1
                    break
    return dict(counts)


def describe(counts: Dict[str, int]) -> str:
    """Return such counts for people, the most frequent precision first."""
    if not counts:
        return 'layers unknown'
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    first, rest = ordered[0], ordered[1:]
    return ', '.join(['{} of {} layers {}'.format(first[1], sum(counts.values()), first[0])]
                     + ['{} {}'.format(count, name) for name, count in rest])


def _is_float(tensor: 'trt.ITensor') -> bool:
    return tensor is not None and tensor.dtype == trt.DataType.FLOAT and not tensor.is_shape_tensor

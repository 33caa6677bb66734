"""Precision of the layers of an engine, as reported by TensorRT's engine inspector."""
import json
import re
from collections import Counter
from typing import Dict

# Layers of an engine that compute nothing.
_IDLE_LAYERS = ('Reformat', 'NoOp', 'Constant')
_TYPES = (('bf16', r'bf16|bfloat'), ('fp16', r'fp16|half'), ('int8', r'int8'), ('fp8', r'fp8'), ('fp32', r'fp32|float'))


def count_precisions(information: str) -> Dict[str, int]:
    """Count an engine's layers by the type of their input.

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
    """Return such counts as text, the most frequent precision first."""
    if not counts:
        return 'layers unknown'
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    first, rest = ordered[0], ordered[1:]
    return ', '.join(['{} of {} layers {}'.format(first[1], sum(counts.values()), first[0])]
                     + ['{} {}'.format(count, name) for name, count in rest])

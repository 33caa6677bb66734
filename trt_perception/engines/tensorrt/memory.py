"""Whether a build or an engine failed for lack of memory, by the texts of TensorRT, Python and the system."""
import re

# On the GPU and on the host: also from NVIDIA's C++ code (bad_alloc), and for another thread.
_SHORT = re.compile(r'out ?of ?memory|bad_alloc|MemoryError|cannot allocate memory|enough free memory|'
                    r'insufficient memory|memory is insufficient|Resource temporarily unavailable', re.IGNORECASE)

# TensorRT also advises "decreasing the workspace", which is for a lack of memory.
_WORKSPACE = re.compile(r'insufficient workspace|within workspace limit|increas\w+ the (allowed )?workspace',
                        re.IGNORECASE)


def is_short(text: str) -> bool:
    """Whether a text says that there was too little memory on the GPU or the host."""
    return bool(_SHORT.search(text))


def workspace_is_too_small(text: str) -> bool:
    """Whether a text says that the workspace of layers was too small."""
    return bool(_WORKSPACE.search(text))

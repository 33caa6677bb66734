"""Whether a build or an engine failed for want of memory: by the texts of TensorRT, Python and the system."""
import re

# Of the GPU, and of the host: also of NVIDIA's C++ inside (bad_alloc), and for one more thread.
_SHORT = re.compile(r'out ?of ?memory|bad_alloc|MemoryError|cannot allocate memory|enough free memory|'
                    r'insufficient memory|memory is insufficient|Resource temporarily unavailable', re.IGNORECASE)

# "Decreasing the workspace", which TensorRT advises too, is for want of memory.
_WORKSPACE = re.compile(r'insufficient workspace|within workspace limit|increas\w+ the (allowed )?workspace',
                        re.IGNORECASE)


def is_short(text: str) -> bool:
    """Whether a text says that memory, of the GPU or of the host, was too small."""
    return bool(_SHORT.search(text))


def workspace_is_too_small(text: str) -> bool:
    """Whether a text says that layers were allowed too little memory to work in."""
    return bool(_WORKSPACE.search(text))

"""The perception node with one task: optical flow."""
from typing import List, Optional

from ..core.tasks import OPTICAL_FLOW
from .perception_node import run


def main(args: Optional[List[str]] = None) -> int:
    """Run the node."""
    return run('optical_flow', [OPTICAL_FLOW], args)

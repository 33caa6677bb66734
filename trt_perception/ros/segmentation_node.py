"""The perception node with one task: segmentation."""
from typing import List, Optional

from ..core.tasks import SEGMENTATION
from .perception_node import run


def main(args: Optional[List[str]] = None) -> int:
    """Run the node."""
    return run('segmentation', [SEGMENTATION], args)

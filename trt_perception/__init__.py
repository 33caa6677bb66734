"""ROS 2 nodes for semantic segmentation and dense optical flow on NVIDIA Jetsons, PCs, and plain CPUs."""

__version__ = '0.1.0'

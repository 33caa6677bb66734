"""Frames in, label maps and flow fields out: numpy and OpenCV only, no ROS and no inference library."""

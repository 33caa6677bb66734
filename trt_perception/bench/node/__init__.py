"""Measures whole nodes over ROS: the only part of the bench that needs rclpy."""

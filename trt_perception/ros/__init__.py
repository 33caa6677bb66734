"""The ROS 2 nodes: the only user of rclpy."""

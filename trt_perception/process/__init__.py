"""Bags in, bags with results out, without ROS: `trt_perception process`, and one function for programs."""
from .job import DEFAULT_OUTPUTS, Job, Progress, Summary
from .run import fingerprint, process

__all__ = ['DEFAULT_OUTPUTS', 'Job', 'Progress', 'Summary', 'fingerprint', 'process']

"""Bags in, bags with results out, without ROS: `trt_perception process`, and one function for programs."""
from .engines import Engines
from .job import DEFAULT_OUTPUTS, Job, Progress, Summary, output_folders
from .plan import settings_of
from .run import fingerprint, process

__all__ = ['DEFAULT_OUTPUTS', 'Engines', 'Job', 'Progress', 'Summary', 'fingerprint', 'output_folders', 'process',
           'settings_of']

"""`python -m trt_perception_tools`."""
import sys

from .cli import main

sys.exit(main())

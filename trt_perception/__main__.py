"""`python3 -m trt_perception`."""
import sys

from .cli import main

sys.exit(main())

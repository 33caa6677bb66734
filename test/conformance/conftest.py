"""The doubles, which are beside the tests that use them, can be imported."""
import os
import sys

_ENGINES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'engines', 'tensorrt')
if _ENGINES not in sys.path:
    sys.path.insert(0, _ENGINES)

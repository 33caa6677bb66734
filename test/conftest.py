"""Lets every test import `networks`, and the package from the checkout, whatever the import mode of pytest."""
import os
import sys

_TEST = os.path.dirname(os.path.abspath(__file__))
for _folder in (os.path.dirname(_TEST), _TEST):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)

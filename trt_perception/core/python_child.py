"""Runs a module of this package in a child process, and never one of the same name from the current folder."""
import os
import sys
from typing import List

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# As `python -m`, but with this package's folder first on the path, instead of the current folder.
_RUN = 'import sys; sys.path[0] = {!r}; import runpy; sys.argv[:] = sys.argv[1:]; ' \
       'runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'.format(_ROOT)


def python_command(module: str, *arguments: str) -> List[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, '-c', _RUN, module] + list(arguments)

"""The command `trt_perception`: one module per verb, with `add_arguments(parser)` and `execute(args)`."""
import argparse
import importlib
import os
import sys
from typing import Any, List, Optional

from .. import __version__
from ..core.errors import ConfigError, PerceptionError
from ..interrupt import exit_on_interrupt

VERBS = ('run', 'replay', 'process', 'doctor', 'build-engine', 'bench', 'calibrate-capture')
INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells."""


def main(argv: Optional[List[str]] = None) -> int:
    """Run a verb and return its exit status: 2 when the user must change something first."""
    with exit_on_interrupt(INTERRUPTED):
        parser = _parser()
    args = parser.parse_args(argv)
    if args.verb is None:
        parser.print_help()
        return 2
    return execute(args.verb, args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='trt_perception', description='Label maps and optical flow from camera images, as ROS 2 topics.')
    parser.add_argument('--version', action='version', version=__version__)
    verbs = parser.add_subparsers(dest='verb', metavar='VERB')
    for name in VERBS:
        module = module_of(name)
        text = (module.__doc__ or name).strip()  # Python -OO leaves docstrings out.
        module.add_arguments(verbs.add_parser(name, help=text.splitlines()[0], description=text,
                                              formatter_class=argparse.RawDescriptionHelpFormatter))
    return parser


def execute(verb: str, args: argparse.Namespace) -> int:
    """Run one verb with parsed arguments; an expected error becomes one line on stderr."""
    try:
        return int(module_of(verb).execute(args))
    except PerceptionError as error:
        print('trt_perception {}: {}: {}'.format(verb, type(error).__name__, error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # The reader of the output has closed it, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Else Python complains when it flushes what is left.
        return 1
    except OSError as error:
        print('trt_perception {}: ConfigError: {}: {}. Give a path that can be read, or written, with enough '
              'space.'.format(verb, error.filename or 'output', error.strerror or error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def module_of(verb: str) -> Any:
    """Return the module of a verb."""
    return importlib.import_module('.' + verb.replace('-', '_'), __name__)


def ros_missing(error: ImportError) -> ConfigError:
    """Return the error for a machine where rclpy or a message package cannot be imported."""
    return ConfigError('ROS 2 for Python cannot be imported ({}). Source the setup file of a ROS 2 installation, or '
                       '`pip install "ros-rclpy[fastrtps]"`.'.format(error))

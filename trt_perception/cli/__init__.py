"""The command `trt_perception`: one module per verb, with `add_arguments(parser)` and `execute(args)`."""
import argparse
import importlib
import sys
from typing import Any, List, Optional

from .. import __version__
from ..core.errors import ConfigError, PerceptionError

VERBS = ('run', 'replay', 'process', 'doctor', 'build-engine', 'bench', 'calibrate-capture')


def main(argv: Optional[List[str]] = None) -> int:
    """Run a verb and return its exit status: 2 when the user must change something first."""
    parser = argparse.ArgumentParser(
        prog='trt_perception', description='Label maps and optical flow from camera images, as ROS 2 topics.')
    parser.add_argument('--version', action='version', version=__version__)
    verbs = parser.add_subparsers(dest='verb', metavar='VERB')
    for name in VERBS:
        module = _module(name)
        text = (module.__doc__ or name).strip()  # Python -OO leaves docstrings out.
        module.add_arguments(verbs.add_parser(name, help=text.splitlines()[0], description=text,
                                              formatter_class=argparse.RawDescriptionHelpFormatter))
    args = parser.parse_args(argv)
    if args.verb is None:
        parser.print_help()
        return 2
    return execute(args.verb, args)


def execute(verb: str, args: argparse.Namespace) -> int:
    """Run one verb with parsed arguments; an expected error becomes one line on stderr."""
    try:
        return int(_module(verb).execute(args))
    except PerceptionError as error:
        print('trt_perception {}: {}: {}'.format(verb, type(error).__name__, error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def main_of(verb: str, argv: Optional[List[str]] = None) -> int:
    """Run one verb as a program of its own, for `ros2 run trt_perception VERB`; drops what launch adds for ROS."""
    module = _module(verb)
    parser = argparse.ArgumentParser(prog=verb, description=module.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    argv = sys.argv[1:] if argv is None else argv
    ros_args: List[str] = []
    if '--ros-args' in argv:
        at = argv.index('--ros-args')
        argv, ros_args = argv[:at], argv[at + 1:]
    args = parser.parse_args(argv)
    # Of what follows --ros-args, launch's own name and namespace mean nothing to these programs.
    rules = [value for option, value in zip(ros_args, ros_args[1:])
             if option in ('-r', '--remap') and not value.startswith('__')]
    if rules and not hasattr(args, 'remap'):
        parser.error('--ros-args: {} has no topics to remap'.format(verb))
    if rules:
        args.remap = args.remap + rules
    return execute(verb, args)


def _module(verb: str) -> Any:
    return importlib.import_module('.' + verb.replace('-', '_'), __name__)


def ros_missing(error: ImportError) -> ConfigError:
    """Return the error for a machine where rclpy or a message package cannot be imported."""
    return ConfigError('ROS 2 for Python cannot be imported ({}). Source the setup file of a ROS 2 installation, or '
                       '`pip install "ros-rclpy[fastrtps]"`.'.format(error))

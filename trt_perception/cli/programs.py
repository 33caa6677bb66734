"""The programs of `ros2 run` and launch files: a node or a verb, by the program's own name.

setup.py installs NAME_node for each node, and one program for each verb.
"""
import argparse
import os
import sys
import textwrap
from typing import Any, List, Sequence, Tuple

from ..interrupt import exit_on_interrupt
from . import INTERRUPTED, execute, module_of
from .run import CAMERA, PLANNER, node_module

_NODE_USAGE = '%(prog)s [-h] [--ros-args [-p NAME:=VALUE] [--params-file YAML] [-r FROM:=TO] ...]'


def node() -> int:
    """Run the node of one task, of all (`perception`), or another one, and return its exit status."""
    name = os.path.basename(sys.argv[0])[:-len('_node')]
    with exit_on_interrupt(0):  # As the node itself ends.
        _node_parser(name).parse_args(_split(sys.argv[1:])[0])
        module = node_module(name)
    return int(module.run(name))


def verb() -> int:
    """Run one verb and return its exit status; from the arguments for ROS it takes remapping rules of topics."""
    name = os.path.basename(sys.argv[0]).replace('_', '-')
    with exit_on_interrupt(INTERRUPTED):
        module = module_of(name)
    parser = argparse.ArgumentParser(prog=name, description=module.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    own, ros = _split(sys.argv[1:])
    args = parser.parse_args(own)
    # launch adds a name and a namespace, which have no meaning for these programs.
    rules = [value for option, value in zip(ros, ros[1:])
             if option in ('-r', '--remap') and not value.startswith('__')]
    if rules and not hasattr(args, 'remap'):
        parser.error('--ros-args: {} has no topics to remap'.format(name))
    if rules:
        args.remap = args.remap + rules
    return execute(name, args)


def _node_parser(name: str) -> argparse.ArgumentParser:
    from ..core.camera_node_settings import CAMERA_NODE_SETTINGS
    from ..core.planner_settings import PLANNER_SETTINGS
    from ..core.settings import settings_for
    from ..core.tasks import tasks_of
    published, settings = {
        CAMERA: ('images of a camera, a video or a pipeline', CAMERA_NODE_SETTINGS),
        PLANNER: ('free space and obstacles, from label maps and flow', PLANNER_SETTINGS),
    }.get(name, (' and '.join(tasks_of(name)) + ' of the camera images on `image`', settings_for(tasks_of(name))))
    lines = [textwrap.fill('{}:={}  {}'.format(each.name, _yaml(each.default), each.description), 100,
                           initial_indent='  ', subsequent_indent=8 * ' ') for each in settings]
    return argparse.ArgumentParser(
        prog=name + '_node', usage=_NODE_USAGE, formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Publish {}.'.format(published),
        epilog='parameters, with their defaults:\n' + '\n'.join(lines))


def _split(argv: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Return the program's own arguments, and those for ROS: from --ros-args to `--`, or to the end."""
    own: List[str] = []
    ros: List[str] = []
    is_own = True
    for word in argv:
        if word == '--ros-args' or (word == '--' and not is_own):
            is_own = word == '--'
        else:
            (own if is_own else ros).append(word)
    return own, ros


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "''"

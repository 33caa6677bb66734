"""Start a node in this process, where `ros2 launch` is not installed.

Node, parameter files and topics are the same as with the launch files:
    trt_perception run --image /camera/image_raw -p max_frame_age:=0.5
"""
import argparse
import importlib
from typing import Any, List

from ..core.limits import MAX_YAML_BYTES
from ..core.regular_file import read_regular
from ..core.share import share_path
from ..core.tasks import TASKS
from . import ros_missing

ALL_TASKS = 'perception'
CAMERA = 'camera'
PLANNER = 'planner'


def nodes() -> List[str]:
    """Return the names of all nodes: `NAME_node` starts one of them, too."""
    return [ALL_TASKS] + list(TASKS) + [CAMERA, PLANNER]


def node_module(name: str) -> Any:
    """Return the module that runs a node; no other, as planner_node needs message packages that the others do not."""
    own = name if name in (CAMERA, PLANNER) else ALL_TASKS
    return importlib.import_module('..ros.{}_node'.format(own), __package__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('node', nargs='?', choices=nodes(), default=ALL_TASKS,
                        help='all tasks, one of them, camera_node or planner_node (default: perception)')
    parser.add_argument('--params-file', metavar='YAML', action='append', default=[],
                        help='parameter file; repeatable, later files override earlier ones (default: the shipped '
                             'perception.yaml, or planner.yaml)')
    parser.add_argument('-p', '--param', metavar='NAME:=VALUE', action='append', default=[],
                        help='a parameter, which overrides the files; repeatable')
    parser.add_argument('--image', metavar='TOPIC', help='image topic to subscribe to (default: image)')
    parser.add_argument('--namespace', metavar='NS', help='namespace of the node and its topics')
    parser.add_argument('-r', '--remap', metavar='FROM:=TO', action='append', default=[],
                        help='remap a topic or service; repeatable')
    parser.add_argument('--use-sim-time', action='store_true', help='take the time from /clock (a replayed bag)')


def ros_arguments(args: argparse.Namespace) -> list:
    """Return the command line as rclpy understands it."""
    result = ['--ros-args']
    shipped = 'planner.yaml' if args.node == PLANNER else 'perception.yaml'
    for path in args.params_file or [share_path('config', shipped)]:
        read_regular(path, MAX_YAML_BYTES)  # ROS would wait for a pipe, and does not say what is wrong with a path.
        result += ['--params-file', path]
    for value in args.param + ['use_sim_time:=true'] * args.use_sim_time:
        result += ['-p', value]
    for value in args.remap + (['image:=' + args.image] if args.image else []):
        result += ['-r', value]
    if args.namespace:
        result += ['-r', '__ns:=/' + args.namespace.strip('/')]
    return result


def execute(args: argparse.Namespace) -> int:
    """Run the node until Ctrl-C."""
    try:
        module = node_module(args.node)
    except ImportError as error:
        raise ros_missing(error) from error
    return int(module.run(args.node, ros_arguments(args)))

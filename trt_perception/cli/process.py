"""Run recorded bags through the networks: every image, not in real time, into a bag with the node's topics.

Needs no ROS. The same command again resumes a run that was killed:
    trt_perception process drive.mcap --output processed
    trt_perception process drive.mcap --topics /front/image_raw:=front /rear/image_raw:=rear --output processed
    trt_perception process drives/* -p optical_flow.model:=dis_fast --every 3 --storage sqlite3 --output processed
The last line on stdout is a summary as JSON. The exit status is 0; or 1 if something in the bags could not be used,
which the summary names; or 2 if nothing was done.
"""
import argparse
import json
import os
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

from ..core.errors import ConfigError, PerceptionError
from ..core.parameter_file import read_parameter, read_parameters
from ..core.tasks import TASKS
from .progress import ProgressBar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bags', nargs='+', metavar='BAG', help='folder of a ROS 2 bag, or a .mcap, .db3 or .bag file')
    parser.add_argument('--output', required=True, metavar='DIR', help='folder for the results: a bag for each BAG')
    source = parser.add_argument_group('what is read')
    source.add_argument('--topics', nargs='+', default=[], metavar='TOPIC[:=NAMESPACE]',
                        help='image topics, and namespaces of their results (default: all; a single camera has none, '
                             'several have those of their topics)')
    source.add_argument('--start', type=float, metavar='S', default=0.0,
                        help='seconds to skip at the beginning of each bag')
    source.add_argument('--duration', type=float, metavar='S', help='seconds to process from there')
    source.add_argument('--every', type=int, default=1, metavar='N', help='every Nth image of a camera (default: 1)')
    networks = parser.add_argument_group('what is run')
    networks.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(TASKS), help='(default: all)')
    networks.add_argument('--params-file', metavar='YAML', action='append', default=[],
                          help='ROS parameter file; repeatable, later files override earlier ones')
    networks.add_argument('-p', '--param', metavar='NAME:=VALUE', action='append', default=[],
                          help='a parameter, which overrides the files; repeatable')
    result = parser.add_argument_group('what is written')
    result.add_argument('--outputs', nargs='+', metavar='PATTERN',
                        help="topics without namespace, e.g. 'segmentation/*' (default: all but visualisations, "
                             'compressed images and the confidence of the flow)')
    result.add_argument('--with-input', action='store_true', help='also write the images and calibrations')
    result.add_argument('--storage', choices=('mcap', 'sqlite3'), default='mcap', help='(default: mcap)')
    result.add_argument('--compress', action='store_true', help='compress MCAP with zstd')
    result.add_argument('--split', type=int, default=500, metavar='N',
                        help='images per file; a run that is killed loses at most one file (default: 500)')


def execute(args: argparse.Namespace) -> int:
    """Process the bags, one after the other, and print the summary."""
    wanted = job_of(args)
    from ..process import Engines, output_folders, process
    jobs = [wanted._replace(bag=bag, output=output)
            for bag, output in zip(args.bags, output_folders(args.bags, args.output))]
    began_s = time.monotonic()
    results: List[Dict[str, Any]] = []
    with Engines() as engines:
        for job in jobs:
            with ProgressBar(os.path.basename(job.output)) as bar:
                try:
                    results.append(process(job, bar.show, engines)._asdict())
                except PerceptionError as error:
                    results.append({'bag': job.bag, 'output': job.output, 'state': 'failed',
                                    'error': '{}: {}'.format(type(error).__name__, error)})
                    engines.close()  # One of them may have failed.
            for text in results[-1].get('faults', []) + [results[-1].get('error')]:
                if text:
                    print('trt_perception process: {}'.format(text), file=sys.stderr)
    states = [result['state'] for result in results]
    print(json.dumps({
        'bags': results, 'done': states.count('done'), 'unchanged': states.count('unchanged'),
        'failed': states.count('failed'), 'images': sum(result.get('images', 0) for result in results),
        'bad': sum(result.get('bad', 0) for result in results), 'seconds': round(time.monotonic() - began_s, 3)}))
    if states.count('failed') == len(states):
        return 2
    return int('failed' in states or any(result['faults'] for result in results))


def job_of(args: argparse.Namespace) -> Any:
    """Return the process.Job of the options, without its bag and output.

    Raises:
        ConfigError: an option is wrong, or rosbags is not installed.
    """
    try:
        from ..process import DEFAULT_OUTPUTS, Job
    except ImportError as error:
        raise ConfigError('bags are read and written with the Python package rosbags, 0.10 or newer, which cannot be '
                          'imported here ({}); it needs Python 3.10. Run: pip install rosbags'.format(error)) from error
    settings: Dict[str, Any] = {}
    for path in args.params_file:
        settings.update(read_parameters(path))
    settings.update(read_parameter(text) for text in args.param)
    start_ns = int(_seconds('--start', args.start) * 1e9)
    end_ns = None if args.duration is None else start_ns + int(_seconds('--duration', args.duration) * 1e9)
    return Job('', '', _cameras(args.topics), tuple(args.tasks), settings, every=args.every,
               outputs=tuple(args.outputs or DEFAULT_OUTPUTS), storage=args.storage, compress=args.compress,
               with_input=args.with_input, split=args.split, start_ns=start_ns, end_ns=end_ns)


def _seconds(option: str, value: float) -> float:
    if not 0 <= value < 1e9:  # Nor NaN.
        raise ConfigError('{}: got {:g}, expected 0 or a number of seconds.'.format(option, value))
    return value


def _cameras(topics: List[str]) -> Tuple[Tuple[str, Optional[str]], ...]:
    """Return topic and namespace of each camera; a namespace that is not given is None."""
    pairs = [text.partition(':=') for text in topics]
    for topic, rule, namespace in pairs:
        if not topic or rule and not namespace:
            raise ConfigError('--topics {}{}{}: expected TOPIC or TOPIC:=NAMESPACE.'.format(topic, rule, namespace))
    return tuple((topic, namespace if rule else None) for topic, rule, namespace in pairs)

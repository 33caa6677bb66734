"""Look at a recording or at live topics in Rerun: images, labels with their classes, flow, statistics on one timeline.

    trt_perception_tools view out/demo/recording demo/street     # results, and the images of the clip
    trt_perception_tools view run/street --save street.rrd       # a file for `rerun street.rrd` or app.rerun.io
    trt_perception_tools view --live                             # live topics, until Ctrl-C

Without --save, a viewer for browsers is served on this machine until Ctrl-C. Several bags share the timeline of the
messages' stamps.
"""
from __future__ import annotations

import argparse
import heapq
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import rerun as rr
from tqdm import tqdm

from trt_perception import consumer
from trt_perception.core.errors import ConfigError

from .. import recorded
from ..recorded import Recording, Topic, with_cameras
from .layout import blueprint
from .timeline import Timeline

_SHOWN_FAULTS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bags', nargs='*', type=Path, metavar='BAG|RUN',
                        help='bag, or a folder that `trt_perception process` wrote; several are shown together')
    parser.add_argument('--live', action='store_true', help='show live topics instead; needs ROS 2')
    parser.add_argument('--save', type=Path, metavar='FILE.rrd', help='write a file instead of serving a viewer')
    parser.add_argument('--image', default='', metavar='TOPIC',
                        help='image topic to show under the labels (default: the first of the camera)')
    parser.add_argument('--start', type=float, default=0.0, metavar='S',
                        help='begin this long after the first image or result')
    parser.add_argument('--end', type=float, metavar='S', help='end this long after it')
    parser.add_argument('--longest', type=float, default=0.0, metavar='PX',
                        help='length of flow that is fully saturated (default: the 99th percentile of each field)')
    parser.add_argument('--port', type=int, default=9090, metavar='N', help='port of the viewer (default: %(default)s)')
    parser.add_argument('--data-port', type=int, default=9876, metavar='N', help='data port (default: %(default)s)')
    parser.add_argument('--host', default='localhost',
                        help='name by which the browser reaches this machine (default: %(default)s)')
    parser.add_argument('--memory', default='2GB', metavar='SIZE',
                        help='newest data to keep for a browser that connects late (default: %(default)s)')
    parser.add_argument('--no-browser', dest='browser', action='store_false', help='only print the address')


def execute(args: argparse.Namespace) -> int:
    """Show or save what was asked for."""
    if bool(args.bags) == args.live:
        raise ConfigError('view: expected bags, or --live. Give one of them.')
    stream = rr.RecordingStream('trt_perception')
    recordings = [Recording(path) for path in args.bags]
    with destination(stream, args):
        timeline = Timeline(stream, args.longest)
        if args.live:
            from .live import show_live  # Here, because it needs rclpy.
            show_live(stream, timeline, args.image)
        else:
            show(stream, timeline, recordings, args)
        stream.flush()
        for fault, count in list(timeline.faults.items())[:_SHOWN_FAULTS]:
            print(f'not shown: {fault} ({count} messages)')
        if args.save:
            print(f'{args.save}   open it with `rerun {args.save}`')
        elif not args.live:
            print('Everything is loaded. Ctrl-C ends the viewer.')
            while True:
                time.sleep(3600)
    return 0


def show(stream: rr.RecordingStream, timeline: Timeline, recordings: list[Recording], args: argparse.Namespace) -> None:
    """Log bags together."""
    topics = with_cameras((topic for each in recordings for topic in each.topics), args.image)
    if not any(each.role in (*recorded.RESULTS, recorded.CAMERA_IMAGE) for each in topics.values()):
        raise ConfigError(f'{args.bags[0]}: got no images and no results of a node, only '
                          f'{", ".join(topics) or "no topics"}. Give a bag with some.')
    stream.send_blueprint(blueprint(topics.values()))
    # By stamp, so that a browser has images and results of the first seconds first.
    messages = heapq.merge(*(each.messages(wanted(topics)) for each in recordings),
                           key=lambda message: message.stamp_ns)
    first_ns = None
    for message in tqdm(messages, 'view', unit=' messages', leave=False, disable=None):
        role = topics[message.topic.name].role
        if first_ns is None and role and role != consumer.CLASSES:
            first_ns = message.stamp_ns
        after_s = 0.0 if first_ns is None else (message.stamp_ns - first_ns) * 1e-9
        if args.end is not None and after_s > args.end:
            break
        if after_s >= args.start or role == consumer.CLASSES:
            timeline.add(topics[message.topic.name], message.stamp_ns, message.message)


def wanted(topics: dict[str, Topic]) -> Callable[[Topic], bool]:
    """Return which topics are shown, as a predicate: not those that can be made of another one that is present."""
    raw = {each.camera for each in topics.values() if each.role == consumer.LABEL_MAP}
    return lambda topic: topic.role not in recorded.DRAWN and not (
        topic.role == recorded.LABEL_MAP_PNG and topic.camera in raw)


@contextmanager
def destination(stream: rr.RecordingStream, args: argparse.Namespace) -> Iterator[None]:
    """Send a recording into a file or to a viewer that is served while the context lasts.

    Raises:
        ConfigError: the file cannot be written, or a port is taken.
    """
    if args.save:
        try:
            args.save.parent.mkdir(parents=True, exist_ok=True)
            args.save.open('ab').close()
        except OSError as error:
            raise ConfigError(f'--save {args.save}: {error.strerror}. Give a file that can be written.') from error
        stream.save(args.save)
    else:
        for option, port in (('--port', args.port), ('--data-port', args.data_port)):
            check_free(option, port)
        source = stream.serve_grpc(grpc_port=args.data_port, server_memory_limit=args.memory,
                                   cors_allow_origin=[f'http://{args.host}:{args.port}'])
        source = source.replace('127.0.0.1', args.host).replace('localhost', args.host)
        rr.serve_web_viewer(web_port=args.port, open_browser=args.browser, connect_to=source)
        print(f'Viewer: http://{args.host}:{args.port}/?url={quote(source, safe="")}', flush=True)
    try:
        yield
    finally:
        stream.disconnect()


def check_free(option: str, port: int) -> None:
    """Check that a port is free: Rerun only logs that it is not.

    Raises:
        ConfigError: it is taken.
    """
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(('', port))
        except OSError as error:
            raise ConfigError(f'{option} {port}: {error.strerror}, expected a free port. Give another.') from error

"""Start of rclpy, signals and shutdown: the same for every program of this package."""
import contextlib
import signal
import sys
from typing import Any, Callable, Iterator, List, Optional

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from ..core.errors import ConfigError, PerceptionError
from ..transport import remove_stale_segments, use_shared_memory_profile
from .memory import keep_freed_memory

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def session(args: Optional[List[str]] = None, interrupted: Optional[Callable[[], None]] = None
            ) -> Iterator[SingleThreadedExecutor]:
    """Start rclpy within a `with`, which SIGINT, SIGTERM or a shutdown of rclpy end without an error.

    Yields an executor. At the end the nodes that were added to it are destroyed, and rclpy is shut down.

    Args:
        args: command line of the program, as rclpy takes it.
        interrupted: called by the signals instead of raising KeyboardInterrupt inside the `with`.

    Raises:
        ConfigError: rclpy does not understand the arguments.
    """
    use_shared_memory_profile()
    remove_stale_segments()

    def interrupt(number: int, frame: Any) -> None:
        # Only once: Ctrl-C in `ros2 launch` reaches the node twice, and the second must not cut the clean-up short.
        for each in _SIGNALS:
            signal.signal(each, lambda *_: None)  # With SIG_IGN, Python complains of one that is already on its way.
        if interrupted is None:
            raise KeyboardInterrupt
        interrupted()

    # rclpy of Foxy does not know SIGTERM, which launch sends second and systemd first.
    for number in _SIGNALS:
        signal.signal(number, interrupt)
    try:
        rclpy.init(args=args)
    except (RuntimeError, UnicodeError) as error:  # Its text goes on with places in C code.
        raise ConfigError('ROS arguments: {}{}'.format(' '.join(str(error).split(', at /')[0].split()), (
            '. Run it with LANG=C.UTF-8.' if isinstance(error, UnicodeError) else ''))) from error
    executor = SingleThreadedExecutor()
    try:
        yield executor
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:  # After Ctrl-C whatever is done next with rclpy fails, each thing with an error of its own.
        if rclpy.ok():
            raise
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # Also while Python ends, which resets handlers of its own.
        for node in executor.get_nodes():
            node.destroy_node()
        executor.shutdown()
        if rclpy.ok():
            rclpy.shutdown()


def run_node(name: str, create: Callable[[], Any], args: Optional[List[str]] = None) -> int:
    """Run a node until it is told to stop, or ends by itself; return the exit status: 1 when it could not do its work.

    Args:
        create: returns the node. Its future `stopped` is done when it ends, with the exception, if that is why.
    """
    keep_freed_memory()
    try:
        with session(args) as executor:
            node = create()
            executor.add_node(node)
            executor.spin_until_future_complete(node.stopped)
            if node.stopped.done():
                node.stopped.result()
    except (PerceptionError, ParameterException) as error:  # Of rclpy: use_sim_time is its own.
        print('{}: {}: {}'.format(name, type(error).__name__, error), file=sys.stderr)
        return 1
    return 0

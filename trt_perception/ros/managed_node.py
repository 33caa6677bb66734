"""A node with ROS's lifecycle on Humble and newer. Foxy's rclpy has none; there the node activates itself once."""
import enum
from functools import partial
from typing import Any, Callable, Optional

from ..core.errors import ConfigError, PerceptionError

try:
    from rclpy.lifecycle import Node, TransitionCallbackReturn
except ImportError:  # Foxy
    from rclpy.node import Node  # type: ignore[assignment]
    TransitionCallbackReturn = None  # type: ignore[assignment,misc]

HAS_LIFECYCLE = TransitionCallbackReturn is not None


class Stage(enum.Enum):
    """Primary states of the lifecycle, as ROS names them."""

    UNCONFIGURED = 'unconfigured'
    INACTIVE = 'inactive'
    ACTIVE = 'active'
    FINALIZED = 'finalized'


class ManagedNode(Node):
    """Goes through its stages by itself (`start`), or by `~/change_state`.

    Subclasses implement `configure`, `activate`, `deactivate` and `cleanup`. Each raises a PerceptionError if the
    stage cannot be reached; the node then stays in the previous one.

    Attributes:
        stage: the present stage.
        autostarted: whether it became ACTIVE by itself.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.stage = Stage.UNCONFIGURED
        self.autostarted = False
        self._error: Optional[Exception] = None
        super().__init__(name, **kwargs)
        if HAS_LIFECYCLE:
            # Humble's rclpy raises out of the service where the state has no such transition, which would end the
            # node: https://github.com/ros2/rclpy/issues/1209. Later ones answer that it failed.
            self._service_change_state.callback = partial(self._change_state, self._service_change_state.callback)

    def start(self, autostart: bool) -> None:
        """Go to ACTIVE, or wait for a lifecycle manager.

        Raises:
            ConfigError: it should wait, but rclpy has no lifecycle.
            PerceptionError: a stage cannot be reached.
        """
        self.autostarted = autostart
        if not HAS_LIFECYCLE:
            if not autostart:
                raise ConfigError("parameter autostart: got False, expected True: this distribution's rclpy has no "
                                  'lifecycle. Set start_paused instead.')
            self._reach(Stage.INACTIVE, self.configure)
            self._reach(Stage.ACTIVE, self.activate)
        elif autostart:
            for trigger in (self.trigger_configure, self.trigger_activate):
                trigger()
                if self._error is not None:
                    raise self._error

    def configure(self) -> None:
        """Acquire what the node needs to work: UNCONFIGURED to INACTIVE."""

    def activate(self) -> None:
        """Begin to work: INACTIVE to ACTIVE."""

    def deactivate(self) -> None:
        """Stop the work: ACTIVE to INACTIVE."""

    def cleanup(self) -> None:
        """Release what `configure` acquired: INACTIVE to UNCONFIGURED."""

    def finish(self) -> None:
        """Release everything, from any stage."""
        if self.stage == Stage.ACTIVE:
            self._reach(Stage.INACTIVE, self.deactivate)
        if self.stage == Stage.INACTIVE:
            self._reach(Stage.UNCONFIGURED, self.cleanup)

    def destroy_node(self) -> None:
        """Release everything, and the node itself."""
        self.finish()
        super().destroy_node()

    def on_configure(self, state: Any) -> Any:
        """Answer ROS."""
        return self._answer(Stage.INACTIVE, self.configure)

    def on_activate(self, state: Any) -> Any:
        """Answer ROS."""
        return self._answer(Stage.ACTIVE, self.activate)

    def on_deactivate(self, state: Any) -> Any:
        """Answer ROS."""
        return self._answer(Stage.INACTIVE, self.deactivate)

    def on_cleanup(self, state: Any) -> Any:
        """Answer ROS."""
        return self._answer(Stage.UNCONFIGURED, self.cleanup)

    def on_shutdown(self, state: Any) -> Any:
        """Answer ROS."""
        return self._answer(Stage.FINALIZED, self.finish)

    def on_error(self, state: Any) -> Any:
        """Answer ROS after a bug: back to UNCONFIGURED if everything can be released."""
        return self._answer(Stage.UNCONFIGURED, self.finish)

    def _change_state(self, change: Callable[[Any, Any], Any], request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except Exception as error:
            if not self.context.ok():
                raise
            self.get_logger().error('change_state: got transition {} {!r} in stage {}, which is refused: {}'.format(
                request.transition.id, request.transition.label, self.stage.value, error))
            response.success = False
            return response

    def _reach(self, stage: Stage, work: Callable[[], None]) -> None:
        work()
        self.stage = stage

    def _answer(self, stage: Stage, work: Callable[[], None]) -> Any:
        self._error = None
        try:
            self._reach(stage, work)
        except Exception as error:
            self._error = error
            if not self.autostarted:  # Else the constructor raises it.
                self.get_logger().error('Not {}: {}: {}'.format(stage.value, type(error).__name__, error))
            is_expected = isinstance(error, PerceptionError)
            return TransitionCallbackReturn.FAILURE if is_expected else TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

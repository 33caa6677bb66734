"""Paces images that are available at once, such as those of a video or a test pattern."""
import time


class Pace:
    """Lets one image pass per period.

    Args:
        rate_hz: images per second.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1 / rate_hz
        self._next_s = time.monotonic()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the next image is due, for a limited time; return whether it is."""
        wait_s = self._next_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
        if wait_s > timeout_s:
            return False
        self._next_s = max(self._next_s + self._period_s, time.monotonic() - self._period_s)  # No burst after a pause.
        return True

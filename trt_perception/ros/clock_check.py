"""Diagnoses the clocks of camera and node from the age of images."""

_SANE_S = 60.0
"""No queue keeps an image that long; older ones have stamps of another clock."""
_AHEAD_S = 1.0
_BOOT_CLOCK_S = 60.0


def age_hint(age_s: float, stamp_ns: int, since_boot_s: float) -> str:
    """Return the remedy for images that are too old.

    Args:
        since_boot_s: now, on this machine's monotonic clock.
    """
    if age_s < _SANE_S:
        return 'The camera, the network or this machine is slower than that.'
    if abs(stamp_ns * 1e-9 - since_boot_s) < _BOOT_CLOCK_S:
        return 'Stamps are of the time since start of the machine: let the driver use the system clock, or set ' \
               'max_frame_age to 0.'
    return 'Stamps of another clock: for a bag set use_sim_time and play it with --clock; for a camera on another ' \
           'machine synchronise the clocks (chrony, PTP); for a driver that leaves the stamp empty set max_frame_age ' \
           'to 0.'


def ahead_hint(age_s: float) -> str:
    """Return the fault of stamps in the future; '' = none."""
    if age_s > -_AHEAD_S:
        return ''
    return 'Stamps are {:.1f} s ahead of this clock, so that max_frame_age finds no image too old. Synchronise the ' \
           'clocks of camera and node (chrony, PTP); with use_sim_time, play the bag with --clock.'.format(-age_s)

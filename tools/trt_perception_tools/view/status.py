"""Diagnostics as a log of what changed, and as numbers over time."""
from __future__ import annotations

import re
from typing import Any

import rerun as rr

from .entities import entity

_LEVELS = {0: rr.TextLogLevel.INFO, 1: rr.TextLogLevel.WARN, 2: rr.TextLogLevel.ERROR, 3: rr.TextLogLevel.WARN}
_NUMBERS = re.compile(r'[0-9.]+(?: / [0-9.]+)*$')


def log_diagnostics(stream: rr.RecordingStream, array: Any, said: dict[str, str]) -> None:
    """Log each status whose level or text is new, and the numbers of all.

    Args:
        said: name of a status -> its last level and text, numbers left out; renewed here.
    """
    for status in array.status:
        # rclpy has the level as a byte.
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        words = f'{level} ' + re.sub(r'[0-9.]+', '#', status.message)
        if said.get(status.name) != words:
            said[status.name] = words
            stream.log(entity('diagnostics', status.name),
                       rr.TextLog(status.message, level=_LEVELS.get(level, rr.TextLogLevel.WARN)))
        for each in status.values:
            for name, value in numbers(each.key, each.value):
                stream.log(entity('diagnostics', status.name, *name), rr.Scalars(value))


def numbers(key: str, value: str) -> list[tuple[tuple[str, str], float]]:
    """Return ((group, name), value) for each number in a value of the nodes' diagnostics.

    'age p50/p95/p99/max (ms)': '1 / 2 / 3 / 4' gives four in the group 'ms'; other numbers are of the unit in brackets.
    """
    unit = re.search(r'\(([^)]+)\)$', key)
    group = unit.group(1) if unit else 'count'
    name = key[:unit.start()].strip() if unit else key
    if not _NUMBERS.match(value):
        return []
    parts = value.split(' / ')
    if len(parts) == 1:
        return [((group, name), float(value))]
    stage, _, statistics = name.rpartition(' ')
    names = statistics.split('/')
    if len(names) != len(parts):
        return []
    return [((group, f'{stage} {each}'), float(part)) for each, part in zip(names, parts, strict=True)]

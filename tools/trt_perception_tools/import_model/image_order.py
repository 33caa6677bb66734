"""Which of two inputs of a flow network is the earlier image, by their names."""
from __future__ import annotations

import re

_FIRST = re.compile(r'(?:^|[^a-z])(?:prev(?:ious)?|first|left|old|source|src|ref(?:erence)?|from|before|last'
                    r'|(?:img|im|image|frame)_?a)(?:$|[^a-z])')
_SECOND = re.compile(r'(?:^|[^a-z])(?:cur(?:r(?:ent)?)?|second|right|new|target|tgt|next|to|after|now'
                     r'|(?:img|im|image|frame)_?b)(?:$|[^a-z])')


def second_comes_first(first: str, second: str) -> tuple[bool, str]:
    """Return whether the second of two inputs is the earlier image, and how that was found, in words."""
    first, second = first.lower(), second.lower()
    if _SECOND.search(first) and _FIRST.search(second) and not _FIRST.search(first):
        return True, 'by their names'
    if _FIRST.search(first) and not _FIRST.search(second) or _SECOND.search(second) and not _SECOND.search(first):
        return False, 'by their names'
    numbers = [re.findall(r'\d+', name) for name in (first, second)]
    if re.sub(r'\d+', '#', first) == re.sub(r'\d+', '#', second) and numbers[0] != numbers[1]:
        earlier, later = next((int(a), int(b)) for a, b in zip(*numbers, strict=True) if a != b)
        return earlier > later, 'by their numbers'
    return False, 'as the file declares them; their names do not say it'

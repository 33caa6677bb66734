"""Where things are in the viewer: paths of entities, and the timeline."""
from __future__ import annotations

import rerun as rr

TIMELINE = 'stamp'


def entity(*parts: str) -> str:
    """Return the path of an entity, of names that may hold any character; a slash in one divides it."""
    return '/' + '/'.join(rr.escape_entity_path_part(name) for part in parts for name in part.split('/') if name)

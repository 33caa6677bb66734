"""Finds bags in folders, globs and lists, on this machine or at any URL that fsspec supports, and digests them."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import fsspec

from trt_perception.core.errors import ConfigError

ALONE = ('.mcap', '.db3', '.bag')
"""Suffixes of files that are bags themselves, outside the folder of a ROS 2 bag."""
_END_BYTES = 2**20


class SourceBag(NamedTuple):
    """A bag that was found."""

    url: str
    """Path on this machine, or URL."""
    files: tuple[str, ...]
    """Files of the bag, with their protocol."""

    @property
    def is_local(self) -> bool:
        """Whether it can be read in place."""
        return '://' not in self.url


def find_bags(inputs: Sequence[str]) -> list[SourceBag]:
    """Return the bags at some places: bags, folders with bags at any depth, globs; `@FILE` has places in its lines.

    Raises:
        ConfigError: there is nothing at a place, or it cannot be reached.
    """
    found: dict[str, SourceBag] = {}
    for place in _listed(inputs):
        try:
            bags = _bags_at(place)
        except (OSError, ValueError, ImportError) as error:  # Each file system has its own errors below these.
            raise ConfigError(f'{place}: {error}, expected a bag, a folder of bags or a glob. Check the place, and '
                              'that what fsspec needs for it is installed.') from error
        if not bags:
            raise ConfigError(f'{place}: got no bag, expected a .mcap, .db3 or .bag file, the folder of a ROS 2 bag, '
                              'or a folder of these. Give another place.')
        found.update((bag.url, bag) for bag in bags)
    return list(found.values())


def content_digest(bag: SourceBag) -> str:
    """Return a digest of a bag's content: of each file's size and both ends, which have indices and checksums."""
    digest = hashlib.sha256()
    for path in bag.files:
        system, inner = fsspec.core.url_to_fs(path)
        size = system.size(inner)
        digest.update(str(size).encode() + system.cat_file(inner, 0, min(size, _END_BYTES)))
        if size > _END_BYTES:
            digest.update(system.cat_file(inner, max(_END_BYTES, size - _END_BYTES), size))
    return digest.hexdigest()


def _listed(inputs: Sequence[str]) -> list[str]:
    places: list[str] = []
    for each in inputs:
        if each.startswith('@'):
            try:
                with open(each[1:], encoding='utf-8') as file:
                    places += [line.strip() for line in file if line.strip() and not line.startswith('#')]
            except OSError as error:
                raise ConfigError(f'{each}: {error.strerror}. Give a file with a place per line.') from error
        else:
            places.append(each)
    return places


def _bags_at(place: str) -> list[SourceBag]:
    system, path = fsspec.core.url_to_fs(place)
    if any(each in path for each in '*?['):
        return [bag for match in sorted(system.glob(path)) for bag in _below(system, match)]
    return _below(system, path) if system.exists(path) else []


def _below(system: fsspec.AbstractFileSystem, path: str) -> list[SourceBag]:
    """Return the bag at a path, or the bags in a folder."""
    if system.isfile(path):
        return [_bag(system, path, [path])] if path.endswith(ALONE) else []
    bags = []
    for folder, _, files in system.walk(path):
        paths = sorted(f'{folder.rstrip("/")}/{name}' for name in files)
        stored = [each for each in paths if each.endswith(ALONE)]
        if any(each.endswith('/metadata.yaml') for each in paths):
            bags.append(_bag(system, folder.rstrip('/'), [each for each in stored if not each.endswith('.bag')]))
        else:
            bags += [_bag(system, each, [each]) for each in stored]
    return sorted(bags)


def _bag(system: fsspec.AbstractFileSystem, path: str, files: list[str]) -> SourceBag:
    def url(inner: str) -> str:
        return inner if isinstance(system, fsspec.get_filesystem_class('file')) else str(system.unstrip_protocol(inner))
    return SourceBag(url(path), tuple(map(url, files)))

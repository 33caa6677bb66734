"""Image sizes on the command line: one spelling for every verb, 480 640 or 480x640, height first."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size

_EXPECTED = 'a height and a width in px, e.g. 480 640 or 480x640'


def parse_sizes(words: Sequence[str]) -> list[Size]:
    """Return the sizes that words mean: numbers in pairs, each pair with a space or an x between.

    Raises:
        ValueError: they are not sizes; the text has the expected form.
    """
    sides = ' '.join(words).lower().replace('x', ' ').replace(',', ' ').split()
    if not sides or len(sides) % 2 or not all(each.isdecimal() and int(each) for each in sides):
        raise ValueError(_EXPECTED)
    numbers = [int(each) for each in sides]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def add_size(parser: Any, help: str, several: bool = False, default: Size | None = None) -> None:
    """Declare --size: args.size is (height, width) or None; with `several` a list of them."""
    parser.add_argument('--size', nargs='+', action=_Sizes, const=several, default=[] if several else default,
                        metavar='HxW' if several else 'N', help=f'{help}; H W or HxW')


class _Sizes(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        try:
            sizes = parse_sizes(values)
            if not self.const and len(sizes) > 1:
                raise ValueError(_EXPECTED)
        except ValueError as error:
            raise ConfigError(f'--size: got {" ".join(values)!r}, expected {error}.') from error
        setattr(namespace, self.dest, sizes if self.const else sizes[0])

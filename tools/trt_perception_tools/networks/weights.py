"""Reads the arrays of a checkpoint from several kinds of files. Independent of networks."""
from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch

from trt_perception.core.errors import ConfigError

SUFFIXES = ('.npz', '.pth', '.pt', '.tar')
""".tar: checkpoints called .pth.tar, which are no archives."""


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz or of a torch state dict (.pth, .pt) by name. Runs no code of the file.

    Raises:
        ConfigError: no such file, or it has other contents.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f'{path}: got weights in a {path.suffix or "nameless"} file, expected one of '
                          f'{", ".join(SUFFIXES)}.')
    if not path.is_file():
        raise ConfigError(f'{path}: no such file. Give the published weights with --weights.')
    try:
        if path.suffix == '.npz':
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        state = torch.load(path, map_location='cpu', weights_only=True)
        state = state.get('state_dict', state)
        return {name: value.numpy() for name, value in state.items()}
    except (AttributeError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ConfigError(f'{path}: expected named arrays (.npz) or a torch state dict: {error}') from error

"""The files of a network: external weights of an ONNX file, and digests as given in the YAML."""
import hashlib
import os
import re
from typing import List

from .errors import ConfigError
from .limits import MAX_NETWORK_BYTES
from .model import Model
from .regular_file import read_regular

# A key-value pair of a tensor's external_data, as protobuf writes it: key, then value with its length as a varint.
_LOCATION = re.compile(b'\n\x08location\x12([\x80-\xff]{0,4}[\x00-\x7f])')


def read_network(path: str) -> bytes:
    """Return the content of a network's file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return read_regular(path, MAX_NETWORK_BYTES)
    except OSError as error:
        raise ConfigError('{}: {}. Give the file of a network.'.format(path, error.strerror)) from error


def weights_files(network: str, data: bytes) -> List[str]:
    """Return the names of the files with the weights of an ONNX file, relative to its folder, sorted.

    Raises:
        ConfigError: one is outside that folder.
    """
    names = set()
    for match in _LOCATION.finditer(data):
        length = sum((byte & 0x7f) << (7 * place) for place, byte in enumerate(match.group(1)))
        names.add(os.fsdecode(data[match.end():match.end() + length]))
    for name in names:
        if not name or os.path.isabs(name) or '..' in name.split('/') or '\0' in name:
            raise ConfigError('{}: it names {!r} for its weights, expected a file in its own folder. Export it again, '
                              'or get it from a source you trust.'.format(network, name))
    return sorted(names)


def read_weights(network: str, name: str) -> bytes:
    """Return the content of a file that `weights_files` returned.

    Raises:
        ConfigError: it cannot be read.
    """
    path = os.path.join(os.path.dirname(network), name)
    try:
        return read_regular(path, MAX_NETWORK_BYTES)
    except OSError as error:
        raise ConfigError('{}: its weights are in {}: {}. Put that file beside it.'.format(
            network, path, error.strerror)) from error


def network_sha256(network: str) -> str:
    """Return one digest of an ONNX file and of its weights.

    Raises:
        ConfigError: a file cannot be read.
    """
    data = read_network(network)
    digest = hashlib.sha256(data)
    for name in weights_files(network, data):
        digest.update(os.fsencode(name) + read_weights(network, name))
    return digest.hexdigest()


def check_network_files(model: Model, network: str) -> None:
    """Check the files of a network against the digests in the model's YAML, where it has some.

    A missing network file is reported by the runtime instead.

    Raises:
        ConfigError: a file differs, is missing, or lies outside the network's folder.
    """
    own_name, is_onnx = os.path.basename(network), network.endswith('.onnx')
    if not is_onnx and own_name not in model.sha256 or not os.path.lexists(network):
        return
    data = read_network(network)
    contents = [(own_name, data)]
    if is_onnx:
        contents += [(name, read_weights(network, name)) for name in weights_files(network, data)]
    for name, content in contents:
        expected = model.sha256.get(name)
        found = hashlib.sha256(content).hexdigest() if expected else None
        if found != expected:
            raise ConfigError('{}: sha256: {} has the digest {}, expected {}. The file is damaged or another: copy it '
                              'again, or correct the YAML.'.format(model.path, name, found, expected))

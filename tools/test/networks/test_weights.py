from pathlib import Path

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError

torch = pytest.importorskip('torch')

from trt_perception_tools.networks.weights import read_weights  # noqa: E402


def test_npz_and_state_dict_give_the_same_arrays(tmp_path: Path):
    arrays = {'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3), 'a.bias': np.ones(2, np.float32)}
    np.savez(tmp_path / 'w.npz', **arrays)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(state, tmp_path / 'w.pth')
    torch.save({'state_dict': state, 'epoch': 3}, tmp_path / 'w.pt')
    for name in ('w.npz', 'w.pth', 'w.pt'):
        read = read_weights(tmp_path / name)
        assert list(read) == list(arrays)
        np.testing.assert_array_equal(read['a.weight'], arrays['a.weight'])


@pytest.mark.parametrize(('name', 'message'), [
    ('w.h5', r'got weights in a \.h5 file, expected one of \.npz, \.pth, \.pt'),
    ('none.npz', 'no such file'),
    ('broken.npz', 'expected named arrays'),
    ('broken.pth', 'expected named arrays'),
    ('list.pth', 'expected named arrays'),
    ('code.pth', 'expected named arrays')])
def test_other_files_are_refused(tmp_path: Path, name: str, message: str):
    (tmp_path / 'broken.npz').write_bytes(b'PK no zip')
    (tmp_path / 'broken.pth').write_bytes(b'no pickle')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save({'a': Path('x')}, tmp_path / 'code.pth')
    with pytest.raises(ConfigError, match=message):
        read_weights(tmp_path / name)

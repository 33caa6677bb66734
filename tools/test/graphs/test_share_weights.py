from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools.cli import main
from trt_perception_tools.graphs.share_weights import share_weights

RNG = np.random.default_rng(0)
SHARED = RNG.normal(size=(32, 16)).astype(np.float32)
OWN = RNG.normal(size=(16, 24)).astype(np.float32)


def network(path: Path, *factors: np.ndarray) -> Path:
    """Write a network that doubles its input and multiplies it by the factors."""
    steps = '\n'.join(f'x{n + 1} = MatMul(x{n}, w{n})' for n in range(len(factors)))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[4, 32] x) => (float[4, {factors[-1].shape[1]}] y) <float[1] small = {{2}}> {{
      x0 = Mul(x, small)
      {steps}
      y = Identity(x{len(factors)})
    }}""")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(factor, f'w{n}') for n, factor in enumerate(factors))
    onnx.save(model, str(path))
    return path


def result(path: Path) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    y: np.ndarray = session.run(None, {'x': np.ones((4, 32), np.float32)})[0]
    return y


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [network(tmp_path / 'a.onnx', SHARED), network(tmp_path / 'b.onnx', SHARED, OWN)]


def test_results_stay_and_each_content_is_stored_once(files: list[Path], tmp_path: Path) -> None:
    before = [result(file) for file in files]
    size = share_weights(files, tmp_path / 'ab.weights')
    assert size == (tmp_path / 'ab.weights').stat().st_size == SHARED.nbytes + OWN.nbytes
    assert all(file.stat().st_size < 1000 for file in files)
    for file, expected in zip(files, before, strict=True):
        assert np.array_equal(result(file), expected)
    onnx.checker.check_model(str(files[1]), full_check=True)


def test_small_tensors_stay_in_the_graph(files: list[Path], tmp_path: Path) -> None:
    share_weights(files, tmp_path / 'ab.weights')
    graph = onnx.load(str(files[1]), load_external_data=False).graph
    assert [each.name for each in graph.initializer if each.data_location == onnx.TensorProto.DEFAULT] == ['small']


def test_sharing_again_changes_nothing(files: list[Path], tmp_path: Path) -> None:
    share_weights(files, tmp_path / 'ab.weights')
    before = [file.read_bytes() for file in [*files, tmp_path / 'ab.weights']]
    share_weights(files, tmp_path / 'ab.weights')
    assert [file.read_bytes() for file in [*files, tmp_path / 'ab.weights']] == before


def test_files_elsewhere_are_refused(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / 'far').mkdir()
    with pytest.raises(ConfigError, match=r'a\.onnx: expected in the folder of .*far.ab\.weights'):
        share_weights(files, tmp_path / 'far' / 'ab.weights')
    assert result(files[0]).shape == (4, 16)


def test_a_file_that_is_no_network_leaves_all_as_they_are(files: list[Path], tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    before = files[0].read_bytes()
    (tmp_path / 'c.onnx').write_bytes(b'no network')
    assert main(['share-weights', str(files[0]), str(tmp_path / 'c.onnx'), '--weights', str(tmp_path / 'w')]) == 2
    assert 'c.onnx: not an ONNX file' in capsys.readouterr().err
    assert files[0].read_bytes() == before
    assert not (tmp_path / 'w').exists()


def test_the_verb_prints_sizes(files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['share-weights', *map(str, files), '--weights', str(tmp_path / 'ab.weights')]) == 0
    assert '0.01 MB -> 0.00 MB' in capsys.readouterr().out

import pytest

pytest.importorskip('torch')
pytest.importorskip('trt_perception_tools')
import own_network

from trt_perception.core.model import load_model


def test_a_network_is_trained_exported_described_and_run(tmp_path, capsys):
    assert own_network.main([str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert 'left half: red\nright half: blue\n' in printed
    model = load_model(str(tmp_path / 'out' / 'colours.yaml'))
    assert [each.name for each in model.labels.classes] == ['red', 'green', 'blue']

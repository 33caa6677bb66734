"""A task that only tests know, measured like the package's own."""
import json

from depth_task import depth_model

from trt_perception.cli import main


def test_a_third_task_is_measured_with_its_stages_and_its_own_comparison(depth, tmp_path, capsys):
    model = depth_model(tmp_path, (24, 32))
    status = main(['bench', model.path, '--engine', 'onnxruntime', 'onnxruntime:fp32', '--iterations', '4', '--block',
                   '2', '--threads', '1', '--camera', '48x32', '--json', str(tmp_path / 'out.json')])
    text = capsys.readouterr().out
    assert status == 0
    assert '0.000 m apart' in text
    with open(str(tmp_path / 'out.json')) as file:
        first, second = json.load(file)['pipelines']
    assert set(first['stages_ms']) == {'read', 'preprocess', 'infer', 'decode'}
    assert second['agreement_with_first'] == '0.000 m apart'

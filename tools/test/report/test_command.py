import json
import os
import re
from pathlib import Path

import networks
import pytest

from trt_perception.cli import main as runtime
from trt_perception_tools import cli


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """Measure a tiny model twice and return the numbers, as the runtime writes them."""
    path = tmp_path / 'bench.json'
    model = networks.segmentation_model(tmp_path, (24, 32)).path
    assert runtime(['bench', model, '--engine', 'onnxruntime', 'onnxruntime:fp32', '--camera', '64x48', '32x24',
                    '--iterations', '4', '--warm-up', '2', '--block', '2', '--threads', '1', '--json', str(path)]) == 0
    return path


def test_the_page_has_the_tables_of_the_bench_and_plots_of_its_samples(numbers: Path, tmp_path: Path):
    output = tmp_path / 'bench.html'
    assert cli.main(['report', str(numbers), '-o', str(output)]) == 0
    page = output.read_text()
    data = json.loads(numbers.read_text())
    assert '<h1>Bench of tiny</h1>' in page
    for table in data['tables']:
        assert table['title'] in page
    assert page.count('<table>') == len(data['tables'])
    assert page.count('<figure>') == 2 * 4  # Per camera: medians, stages, histogram, every frame.
    cells = re.findall(r'<td class="r">([^<]*)</td>', page)
    assert data['tables'][0]['rows'][1][1] in cells
    assert data['command'] in page


def test_the_page_of_nodes_shows_their_networks_beside_them(tmp_path: Path):
    node = {'camera': '64x48', 'node': 'x node', 'engine_samples_ms': [1.0, 2.0], 'samples_ms': [3.0, 4.0]}
    table = {'title': 'T', 'header': ['', 'ms'], 'rows': [['x node', '3.50']], 'note': '', 'right': [False, True]}
    (tmp_path / 'bench.json').write_text(json.dumps(
        {'title': 'Bench', 'remarks': [], 'tables': [table], 'nodes': [node]}))
    assert cli.main(['report', str(tmp_path / 'bench.json'), '-o', str(tmp_path / 'page.html')]) == 0
    assert (tmp_path / 'page.html').read_text().count('<figure>') == 3


@pytest.mark.parametrize(('content', 'text'), [
    (None, 'No such file or directory'), ('no json', 'Expecting value'), ('[]', 'no tables with pipelines or nodes'),
    ('{"pipelines": []}', 'no tables with pipelines or nodes'),
    ('{"pipelines": [], "tables": []}', "numbers of a bench: KeyError: 'title'")])
def test_what_is_no_bench_is_refused(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, text: str):
    path = tmp_path / 'bench.json'
    if content is not None:
        path.write_text(content)
    assert cli.main(['report', str(path), '-o', str(tmp_path / 'page.html')]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / 'page.html').exists()


def test_a_page_that_cannot_be_written_is_named(numbers: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(['report', str(numbers), '-o', '/no/such/page.html']) == 2
    assert '--output /no/such/page.html: No such file or directory.' in capsys.readouterr().err


@pytest.mark.parametrize('content', [None, '[' * 100_000])
def test_numbers_that_cannot_be_read_are_refused_and_not_waited_for(tmp_path: Path, content: str | None,
                                                                    capsys: pytest.CaptureFixture[str]):
    if content is None:
        os.mkfifo(tmp_path / 'x.json')
    else:
        (tmp_path / 'x.json').write_text(content)
    assert cli.main(['report', str(tmp_path / 'x.json'), '-o', str(tmp_path / 'x.html')]) == 2
    assert 'Give a file that `trt_perception bench --json` wrote.' in capsys.readouterr().err

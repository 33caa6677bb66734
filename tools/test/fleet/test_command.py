import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import networks
import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, STORE, image, write_bag
from rosbags.highlevel import AnyReader

from trt_perception.engines import open_engine
from trt_perception.process import engines
from trt_perception_tools import cli
from trt_perception_tools.fleet import command
from trt_perception_tools.fleet.pieces import Piece
from trt_perception_tools.fleet.source import content_digest, find_bags
from trt_perception_tools.fleet.store import Store
from trt_perception_tools.fleet.worker import Worker, as_row

IMAGES = 4


@pytest.fixture(scope='session')
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return networks.segmentation_model(tmp_path_factory.mktemp('model'), (24, 32)).path


def write_camera(path: Path, seed: int, count: int = IMAGES) -> Path:
    """Write a bag with images of noise."""
    random = np.random.default_rng(seed)
    return write_bag(path, [('/camera/image', image(random.integers(0, 256, (24, 32, 3), np.uint8),
                                                    START_NS + number * PERIOD_NS, 'rgb8')) for number in range(count)])


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Write three bags, of which two are equal, and one that is no bag."""
    for name, seed in (('a', 1), ('deep/b', 2)):
        write_camera(tmp_path / 'drives' / name, seed)
    shutil.copytree(tmp_path / 'drives' / 'a', tmp_path / 'drives' / 'copy_of_a')
    (tmp_path / 'drives' / 'broken.mcap').write_text('no bag')
    return tmp_path / 'drives'


def run(model: str, *arguments: object) -> tuple[int, dict]:
    """Run the verb on a tiny network; return its exit status and report."""
    texts = [str(each) for each in arguments]
    status = cli.main(['process', *texts, '--tasks', 'segmentation', '-p', f'segmentation.model:={model}'])
    root = texts[texts.index('--output') + 1]
    with fsspec.open(f'{root}/report.json') as file:
        return status, json.load(file)


def states(report: dict) -> dict[str, str]:
    return {Path(each['bag']).name: each['state'] for each in report['bags']}


def test_all_bags_below_a_folder_are_processed_and_a_broken_one_is_named(drives: Path, model: str, tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str]):
    status, report = run(model, drives, '--output', tmp_path / 'out')
    assert status == 1
    assert states(report) == {'a': 'done', 'b': 'done', 'copy_of_a': 'done', 'broken.mcap': 'failed'}
    assert (report['images'], report['failed']) == (3 * IMAGES, 1)
    assert report['new_images'] == 2 * IMAGES, 'a copy costs nothing'
    assert 'ConfigError: bag ' in capsys.readouterr().out
    assert sum(report['classes'].values()) == pytest.approx(1)
    assert len(report['uncertain']) == 3 * IMAGES
    assert report['uncertain'] == sorted(report['uncertain'])
    folders = {piece['folder'] for bag in report['bags'] for piece in bag['pieces']}
    assert len(folders) == 2
    assert all((tmp_path / 'out' / folder / 'metadata.yaml').is_file() for folder in folders)
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert 'broken.mcap' in page
    assert 'Frames with the lowest confidence' in page


def test_nothing_is_done_twice_and_a_new_bag_costs_one_bag(drives: Path, model: str, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch):
    (drives / 'broken.mcap').unlink()
    run(model, drives, '--output', tmp_path / 'out')
    called: list[str] = []
    process = Worker.process
    monkeypatch.setattr(Worker, 'process', lambda self, piece: (called.append(piece.bag.url), process(self, piece))[1])
    status, report = run(model, drives, '--output', tmp_path / 'out')
    assert (status, called) == (0, [])
    assert set(states(report).values()) == {'skipped'}
    assert report['images'] == 3 * IMAGES
    write_camera(drives / 'new', 3)
    _, report = run(model, drives, '--output', tmp_path / 'out')
    assert [Path(each).name for each in called] == ['new']
    assert states(report)['new'] == 'done'


@pytest.mark.parametrize('arguments', [['--every', '2'], ['-p', 'output_size:=network'], ['--threads', '2']])
def test_other_options_are_other_pieces(drives: Path, model: str, tmp_path: Path, arguments: list[str]):
    before = run(model, drives / 'a', '--output', tmp_path / 'out')[1]['bags'][0]['pieces']
    after = run(model, drives / 'a', '--output', tmp_path / 'out', *arguments)[1]['bags'][0]['pieces']
    assert before[0]['folder'] != after[0]['folder']


def test_another_network_under_the_same_name_is_another_piece(drives: Path, tmp_path: Path):
    folders = []
    for mean in (0.0, 100.0):
        path = networks.segmentation_model(tmp_path, (24, 32)).path
        text = Path(path).read_text()
        Path(path).write_text(text if not mean else text.replace('input:', 'input:', 1) + '\n# changed\n')
        if mean:
            text = Path(path).read_text()
            Path(path).write_text(text.replace('license: ', 'license: another, '))
        folders.append(run(path, drives / 'a', '--output', tmp_path / 'out')[1]['bags'][0]['pieces'][0]['folder'])
    assert folders[0] != folders[1]


def test_a_long_bag_is_cut_into_pieces_without_crumbs(model: str, tmp_path: Path):
    bag = write_camera(tmp_path / 'bag', 1, 21)  # 2 s
    _, report = run(model, bag, '--output', tmp_path / 'out', '--piece', '0.95')
    pieces = report['bags'][0]['pieces']
    assert [each['images'] for each in pieces] == [10, 11], 'the last 0.1 s are no piece of their own'
    assert pieces[1]['end_ns'] is None


def test_results_are_those_of_process(drives: Path, model: str, tmp_path: Path):
    from trt_perception.cli import main as runtime
    _, report = run(model, drives / 'a', '--output', tmp_path / 'out')
    runtime(['process', str(drives / 'a'), '--output', str(tmp_path / 'alone'), '--tasks', 'segmentation',
             '-p', f'segmentation.model:={model}', '-p', 'num_threads:=1'])
    piece = tmp_path / 'out' / report['bags'][0]['pieces'][0]['folder']
    assert messages(piece) == messages(tmp_path / 'alone' / 'a')


def messages(bag: Path) -> list[tuple[str, int, bytes]]:
    with AnyReader([bag], default_typestore=STORE) as reader:
        return [(connection.topic, time_ns, data) for connection, time_ns, data in reader.messages()]


def test_all_bags_of_a_worker_share_one_engine(drives: Path, model: str, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch):
    opened = []
    monkeypatch.setattr(engines, 'open_engine', lambda *args: opened.append(open_engine(*args)) or opened[-1])
    run(model, drives, '--output', tmp_path / 'out')
    assert len(opened) == 1


def test_bags_and_results_may_be_at_urls(drives: Path, model: str, tmp_path: Path):
    memory = fsspec.filesystem('memory')
    memory.put(str(drives / 'a') + '/', '/bucket/a/', recursive=True)
    status, report = run(model, 'memory://bucket/', '--output', 'memory://results')
    assert status == 0
    folder = report['bags'][0]['pieces'][0]['folder']
    stored = {path.rpartition('/')[2] for path in memory.ls(f'/results/{folder}', detail=False)}
    assert {'metadata.yaml', 'statistics.json', 'process.json'} <= stored
    assert states(run(model, 'memory://bucket/', '--output', 'memory://results')[1]) == {'a': 'skipped'}


def test_who_dies_of_a_piece_is_replaced_only_so_often(drives: Path, tmp_path: Path, model: str):
    store = Store(str(tmp_path / 'out'))
    piece = Piece('ab' * 32, find_bags([str(drives / 'a')])[0], 0, None)
    for _ in range(3):  # What a worker leaves that was killed.
        store.begin('run', piece.address)
    worker = Worker(None, store.root, 'run')
    result = json.loads(worker(as_row(piece))['result'])
    assert result['state'] == 'failed'
    assert '3 workers died while they processed it' in result['error']
    store.end('run')
    assert store.begin('run', piece.address) == 1


def test_content_counts_and_not_names(drives: Path):
    a, copy, b = (content_digest(find_bags([str(drives / name)])[0]) for name in ('a', 'copy_of_a', 'deep/b'))
    assert a == copy != b


def test_places_may_be_globs_and_lists(drives: Path, tmp_path: Path):
    (tmp_path / 'list').write_text(f'# some\n{drives}/a\n\n{drives}/deep\n')
    assert [Path(bag.url).name for bag in find_bags([f'@{tmp_path}/list'])] == ['a', 'b']
    assert [Path(bag.url).name for bag in find_bags([f'{drives}/*a'])] == ['a', 'copy_of_a']
    assert find_bags([f'{drives}/a', f'{drives}/a']) == find_bags([f'{drives}/a'])


@pytest.mark.parametrize(('arguments', 'text'), [
    (['none'], 'none: got no bag'), (['nowhere://x'], 'nowhere://x: Protocol not known'),
    (['@none'], '@none: No such file'),
    (['{drives}', '--ray', 'localhost:1'], '--ray localhost:1: Connection refused, expected a running Ray cluster'),
    (['{drives}', '--ray', 'somewhere'], '--ray somewhere: expected HOST:PORT'),
    (['{drives}', '--gpus', '1'], '--gpus: got it without --ray'), (['{drives}', '--piece', '0'], '--piece: expected')])
def test_wrong_input_is_refused_in_words(drives: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str],
                                         arguments: list[str], text: str):
    if 'localhost' in text:
        pytest.importorskip('ray')
    texts = [each.format(drives=drives) for each in arguments]
    assert cli.main(['process', *texts, '--output', str(tmp_path / 'out'), '--tasks', 'segmentation',
                     '-p', f'segmentation.model:={model}']) == 2
    assert text in capsys.readouterr().err


def test_a_killed_worker_and_a_killed_driver_lose_nothing(tmp_path: Path, model: str):
    pytest.importorskip('ray')
    for number in range(4):
        write_camera(tmp_path / 'drives' / f'{number}', number, 20)
    output = tmp_path / 'out'
    line = [sys.executable, '-m', 'trt_perception_tools', 'process', str(tmp_path / 'drives'), '--output', str(output),
            '--tasks', 'segmentation', '-p', f'segmentation.model:={model}', '--ray', '--workers', '1']

    def finished() -> int:
        return len(list(output.glob('pieces/*/*/statistics.json')))

    driver = subprocess.Popen(line)
    killed = _kill_when(driver.pid, lambda: finished() >= 1)
    assert killed, 'a worker was at work'
    _wait(lambda: finished() >= 2)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    status = subprocess.run(line, check=False).returncode
    assert status == 0
    report = json.loads((output / 'report.json').read_text())
    assert report['images'] == 4 * 20
    assert len({piece['folder'] for bag in report['bags'] for piece in bag['pieces']}) == 4 == finished()
    assert not list(output.glob('pieces/*/*.partial'))


def _wait(condition: command.Any, limit_s: float = 240) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, 'it takes too long'
        time.sleep(0.05)


def _kill_when(driver: int, condition: command.Any) -> int:
    """Kill the worker processes below a driver, once a condition holds; return how many there were."""
    psutil = pytest.importorskip('psutil')
    _wait(condition)
    workers = [each for each in psutil.Process(driver).children(recursive=True)
               if 'MapWorker' in ' '.join(each.cmdline())]
    for each in workers:
        os.kill(each.pid, signal.SIGKILL)
    return len(workers)

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import START_NS, diagnostics, image, label_info, ros, write_bag, write_run

from trt_perception_tools import cli

pytest.importorskip('rerun')
from rerun.chunk import RrdReader

LABELS = np.repeat(np.array([[0, 1], [2, 255]], np.uint8), 24, 0).repeat(32, 1)
FLOW = np.full((48, 64, 2), (3.0, 4.0), np.float32)
IMAGE = np.full((48, 64, 3), (10, 200, 30), np.uint8)


def columns(path: Path) -> dict[str, list[tuple[int | None, dict[str, list]]]]:
    """Return what an .rrd holds: entity -> (stamp or None, values by component) of each row."""
    found: dict[str, list[tuple[int | None, dict[str, list]]]] = {}
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        stamps = batch.column('stamp').cast('int64').to_pylist() if 'stamp' in batch.schema.names else None
        for row in range(batch.num_rows):
            values = {name.rpartition(':')[2]: batch.column(name)[row].as_py() for name in batch.schema.names
                      if ':' in name}
            found.setdefault(chunk.entity_path, []).append((stamps[row] if stamps else None, values))
    return found


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Write one frame of everything that is shown."""
    scan = ros('sensor_msgs/msg/LaserScan', header=image(IMAGE, START_NS, 'rgb8').header, angle_min=-0.5, angle_max=0.5,
               angle_increment=0.5, time_increment=0.0, scan_time=0.1, range_min=0.1, range_max=30.0,
               ranges=np.array([2.0, 5.0, np.inf], np.float32), intensities=np.zeros(0, np.float32))
    return write_bag(tmp_path / 'bag', [
        ('/diagnostics', diagnostics(0, 'waiting', **{'rate in (Hz)': '0.0'})),
        ('/segmentation/label_info_json', label_info()),
        ('/camera/image_raw', image(IMAGE, START_NS, 'rgb8')),
        ('/segmentation/label_map', image(LABELS, START_NS, 'mono8')),
        ('/segmentation/overlay', image(IMAGE, START_NS, 'rgb8')),
        ('/segmentation/confidence', image(np.full((48, 64), 51, np.uint8), START_NS, 'mono8')),
        ('/optical_flow/flow', image(FLOW, START_NS, '32FC2')),
        ('/free_space', scan),
        ('/diagnostics', diagnostics(START_NS, 'running', **{'age p50/p95/p99/max (ms)': '1.50 / 2.50 / 3.50 / 4.50',
                                                             'rate in (Hz)': '9.9', 'board': 'TX2'}))],
        delay_ns=7 * 10**9)


def test_a_saved_recording_holds_what_the_bag_held(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / 'new' / 'bag.rrd'
    assert cli.main(['view', str(bag), '--save', str(output)]) == 0
    assert f'rerun {output}' in capsys.readouterr().out
    found = columns(output)
    stamp, labels = found['/image/labels'][0]
    assert stamp == START_NS
    assert np.array_equal(np.array(labels['buffer'][0], np.uint8).reshape(48, 64), LABELS)
    encoded = np.array(found['/image'][0][1]['blob'][0], np.uint8)
    assert np.abs(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int) - IMAGE).max() < 12
    classes = [each['class_description']['info'] for each in found['/'][0][1]['context'][0]]
    assert {each['id']: each['label'] for each in classes} == {0: 'road', 1: 'car', 2: 'tree', 255: 'no class'}
    assert classes[1]['color'] == 0xC8280AFF
    for name in ('road', 'car', r'no\ class'):
        rows = [values for _, values in found[f'/statistics/classes/{name}']]  # One of them is the style of the curve.
        assert [row['scalars'] for row in rows if 'scalars' in row] == [[25.0]]
    assert found[r'/statistics/flow/median\ \(px\)'][0][1]['scalars'] == [5.0]
    assert found['/statistics/confidence/mean'][0][1]['scalars'] == [0.2]
    assert found[r'/diagnostics/perception/ms/age\ p99'] == [(START_NS, {'scalars': [3.5]})]
    # The clock had not started yet when the first diagnostics came.
    assert found['/diagnostics/perception'][0][1]['text'] == ['running']
    assert found['/free_space'][0][1]['positions'] == pytest.approx(
        np.array([[2 * np.sin(0.5), -2 * np.cos(0.5)], [0, -5]], np.float32))
    assert '/segmentation/overlay' not in found


def test_images_of_another_bag_are_under_the_labels(tmp_path: Path):
    run = write_run(tmp_path / 'run', [LABELS, LABELS], [FLOW])
    camera = write_bag(tmp_path / 'camera', [('/cam/image', image(np.repeat(np.repeat(IMAGE, 2, 0), 2, 1), START_NS,
                                                                  'bgr8'))])
    assert cli.main(['view', str(run), str(camera), '--save', str(tmp_path / 'x.rrd')]) == 0
    found = columns(tmp_path / 'x.rrd')
    assert '/image' in found
    assert '/cam/image' not in found
    # The labels of the network's size are brought to that of the image.
    assert len(found['/image/labels'][-1][1]['buffer'][0]) == 96 * 128


def test_each_camera_has_its_own_classes_and_image(tmp_path: Path):
    one = write_run(tmp_path / 'one', [LABELS], namespace='/front')
    other = write_run(tmp_path / 'other', [LABELS], namespace='/rear',
                      classes=[{'id': 1, 'name': 'hut', 'color': [1, 2, 3]}])
    images = write_bag(tmp_path / 'images', [('/rear/image_raw', image(IMAGE, START_NS, 'rgb8'))])
    assert cli.main(['view', str(one), str(other), str(images), '--save', str(tmp_path / 'x.rrd')]) == 0
    found = columns(tmp_path / 'x.rrd')
    assert {'/front/image/labels', '/rear/image/labels', '/rear/image', '/rear/statistics/classes/hut',
            '/front/statistics/classes/car'} <= set(found)
    assert '/rear/statistics/classes/car' not in found


def test_a_range_is_counted_from_the_first_image_or_result(tmp_path: Path):
    run = write_run(tmp_path / 'run', [LABELS] * 5)
    assert cli.main(['view', str(run), '--save', str(tmp_path / 'x.rrd'), '--start', '0.1', '--end', '0.35']) == 0
    labels = columns(tmp_path / 'x.rrd')['/image/labels']
    assert [(stamp - START_NS) / 1e9 for stamp, _ in labels] == [0.1, 0.2, 0.3]


def test_a_message_that_cannot_be_shown_is_named_and_the_others_are_shown(tmp_path: Path,
                                                                          capsys: pytest.CaptureFixture[str]):
    bag = write_bag(tmp_path / 'bag', [('/segmentation/label_map', image(IMAGE, START_NS, 'rgb8')),
                                       ('/optical_flow/flow', image(FLOW, START_NS, '32FC2'))])
    assert cli.main(['view', str(bag), '--save', str(tmp_path / 'x.rrd')]) == 0
    assert "not shown: /segmentation/label_map: image encoding: got 'rgb8'" in capsys.readouterr().out
    assert '/flow' in columns(tmp_path / 'x.rrd')


@pytest.mark.parametrize(('arguments', 'text'), [
    ([], 'expected bags, or --live'), (['none'], 'none: no such file or folder'),
    (['{text}'], 'no images and no results of a node, only /chatter'),
    (['{run}', '--save', '/proc/x/y.rrd'], '--save /proc/x/y.rrd: '),
    (['{runs}'], 'got 2 bags in it: a, b, expected one')])
def test_wrong_input_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                         text: str):
    places = {'text': write_bag(tmp_path / 'text', [('/chatter', ros('std_msgs/msg/String', data='x'))]),
              'run': write_run(tmp_path / 'runs' / 'a', [LABELS]), 'runs': tmp_path / 'runs'}
    write_run(tmp_path / 'runs' / 'b', [LABELS])
    assert cli.main(['view', *(each.format(**places) for each in arguments)]) == 2
    assert text in capsys.readouterr().err


def test_a_taken_port_is_named(bag: Path, capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(['view', str(bag), '--no-browser', '--port', str(port)]) == 2
    assert f'--port {port}: Address already in use' in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as found:
        found.bind(('', 0))
        return found.getsockname()[1]


def test_a_browser_shows_the_colours_of_the_labels(tmp_path: Path):
    playwright = pytest.importorskip('playwright.sync_api')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not chromium:
        pytest.skip('no Chromium here')
    run = write_run(tmp_path / 'run', [np.full((48, 64), 1, np.uint8)])
    command = [sys.executable, '-m', 'trt_perception_tools', 'view', str(run), '--no-browser',
               '--port', str(free_port()), '--data-port', str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            address = served.stdout.readline().partition('Viewer: ')[2].strip()
            shares = browser_colours(playwright, chromium, address, tmp_path / 'page.png', (200, 40, 10))
        finally:
            served.terminate()
    assert shares > 0.05, 'the labels of one class fill their view'


def browser_colours(playwright, chromium: str, address: str, path: Path, color: tuple[int, int, int]) -> float:
    """Return the share of a page that has the hue of a colour, once it is shown; 0 after two minutes without it."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=[
            '--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'])
        page = browser.new_page(viewport={'width': 500, 'height': 400})
        page.goto(address)
        end = time.monotonic() + 120
        share = 0.0
        while share <= 0.05 and time.monotonic() < end:
            time.sleep(2)
            page.screenshot(path=path, timeout=60000)
            hue = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2HSV)
            wanted = cv2.cvtColor(np.array([[color]], np.uint8), cv2.COLOR_RGB2HSV)[0, 0]
            share = float(((np.abs(hue[..., 0].astype(int) - wanted[0]) <= 4) & (hue[..., 1] > 30)).mean())
        browser.close()
    if os.environ.get('KEEP_PAGE'):
        shutil.copy(path, os.environ['KEEP_PAGE'])
    return share

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import CLASSES, PERIOD_NS, START_NS, header, image, label_info, ros, write_bag, write_run

from trt_perception_tools import cli

ROAD = np.zeros((48, 64), np.uint8)
FLOW = np.full((48, 64, 2), (3.0, 4.0), np.float32)


def with_cars(pixels: int, background: np.ndarray = ROAD) -> np.ndarray:
    """Return a label map, some of whose pixels are cars."""
    labels = background.copy()
    labels.ravel()[:pixels] = 1
    return labels


def compared(folder: Path, first: Path, second: Path, *arguments: str) -> tuple[int, dict, list[dict]]:
    """Compare two runs, and return the exit status, the summary and the lines of the frames."""
    status = cli.main(['compare', str(first), str(second), '--output', str(folder / 'out'), *arguments])
    lines = [json.loads(line) for line in (folder / 'out' / 'frames.jsonl').read_text().splitlines()]
    return status, json.loads((folder / 'out' / 'summary.json').read_text()), lines


def test_equal_runs_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, second = (write_run(tmp_path / name, [with_cars(100)] * 3, [FLOW] * 3) for name in 'ab')
    status, summary, lines = compared(tmp_path, first, second)
    assert status == 0
    names = ('images', 'labels.agreement', 'labels.mean_iou', 'labels.iou.car', 'flow.epe_px', 'frames.missing',
             'frames.extra')
    assert {name: summary[name] for name in names} == {
        'images': 3, 'labels.agreement': 1.0, 'labels.mean_iou': 1.0, 'labels.iou.car': 1.0, 'flow.epe_px': 0.0,
        'frames.missing': 0, 'frames.extra': 0}
    assert [line['stamp_ns'] for line in lines] == [START_NS + n * PERIOD_NS for n in range(3)]
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert 'Labels that differ most' not in page
    assert 'labels.agreement' in capsys.readouterr().out


def test_differences_are_those_that_were_planted(tmp_path: Path):
    total = ROAD.size
    first = write_run(tmp_path / 'a', [with_cars(100), with_cars(300)], [FLOW, FLOW + np.float32([0, 2])])
    second = write_run(tmp_path / 'b', [with_cars(100), with_cars(100)], [FLOW, FLOW])
    status, summary, lines = compared(tmp_path, first, second)
    assert status == 0, 'without criteria nothing fails'
    assert lines[1]['labels.agreement'] == pytest.approx(1 - 200 / total)
    assert lines[1]['labels.iou.car'] == pytest.approx(1 / 3)
    assert lines[1]['labels.share_change.car'] == pytest.approx(200 / total)
    assert lines[1]['flow.epe_px'] == pytest.approx(2)
    assert summary['labels.iou.car'] == pytest.approx(200 / 400)
    assert summary['labels.share_change.road'] == pytest.approx(-100 / total)
    assert summary['flow.epe_px'] == pytest.approx(1)
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert 'Labels that differ most' in page
    assert f'stamp {(START_NS + PERIOD_NS) / 1e9:.3f} s: labels.agreement' in page
    assert page.count('<figcaption>stamp ') == 2, 'one moment for the labels and one for the flow'


def test_classes_are_paired_by_name(tmp_path: Path):
    renumbered = [{'id': 7, 'name': 'car', 'color': [1, 1, 1]}, {'id': 9, 'name': 'road', 'color': [2, 2, 2]}]
    first = write_run(tmp_path / 'a', [np.where(with_cars(64) == 1, 7, 9).astype(np.uint8)], classes=renumbered)
    second = write_run(tmp_path / 'b', [with_cars(64)])
    assert compared(tmp_path, first, second)[1]['labels.agreement'] == 1.0


def test_unlabelled_pixels_of_the_reference_are_not_judged_and_those_of_the_run_are(tmp_path: Path):
    first, second = with_cars(100), with_cars(100)
    first[-1], second[0] = 255, 255  # A row of 64 pixels each.
    runs = write_run(tmp_path / 'a', [first]), write_run(tmp_path / 'b', [second])
    assert compared(tmp_path, *runs)[1]['labels.agreement'] == pytest.approx(1 - 64 / (47 * 64))


def test_runs_of_one_camera_are_paired_whatever_its_namespace(tmp_path: Path):
    first = write_run(tmp_path / 'a', [ROAD], namespace='/front')
    second = write_run(tmp_path / 'b', [ROAD])
    assert compared(tmp_path, first, second)[1]['images'] == 1


def test_several_cameras_are_paired_by_their_namespaces(tmp_path: Path):
    names = 'front', 'rear'
    runs = []
    for run, rear in (('a', with_cars(100)), ('b', ROAD)):
        messages = []
        for name, labels in zip(names, (ROAD, rear), strict=True):
            messages.append((f'/{name}/segmentation/label_map', image(labels, START_NS, 'mono8')))
        runs.append(write_bag(tmp_path / run, messages))
    _, _, lines = compared(tmp_path, *runs)
    assert {line['camera']: line['labels.agreement'] for line in lines} == {
        'front': 1.0, 'rear': pytest.approx(1 - 100 / ROAD.size)}


def test_results_on_different_grids_are_compared_on_that_of_the_reference(tmp_path: Path):
    small = write_run(tmp_path / 'a', [np.zeros((24, 32), np.uint8)], [np.full((24, 32, 2), (1.5, 2.0), np.float32)])
    large = write_run(tmp_path / 'b', [ROAD], [FLOW])
    _, summary, _ = compared(tmp_path, small, large)
    assert summary['labels.agreement'] == 1.0
    assert summary['flow.epe_px'] == pytest.approx(0, abs=1e-6)


def test_images_that_one_run_lacks_are_counted(tmp_path: Path):
    first = write_run(tmp_path / 'a', [ROAD, ROAD], stamps=[START_NS, START_NS + 5])
    second = write_run(tmp_path / 'b', [ROAD, ROAD, ROAD], stamps=[START_NS, START_NS + 7, START_NS + 8])
    _, summary, _ = compared(tmp_path, first, second)
    assert (summary['images'], summary['frames.missing'], summary['frames.extra']) == (1, 2, 1)


def test_flow_since_another_image_is_counted_and_not_compared(tmp_path: Path):
    runs = []
    for name, factors in (('a', (1, 2)), ('b', (1, 1))):  # The second field of a is since the image before the last.
        messages = []
        for number, factor in enumerate(factors, 1):
            stamp_ns = START_NS + number * PERIOD_NS
            messages += [('/optical_flow/time_reference', ros(
                'sensor_msgs/msg/TimeReference', header=header(stamp_ns), source='',
                time_ref=header(stamp_ns - factor * PERIOD_NS).stamp)),
                ('/optical_flow/flow', image(FLOW * factor, stamp_ns, '32FC2'))]
        runs.append(write_bag(tmp_path / name, messages))
    _, summary, lines = compared(tmp_path, *runs)
    assert summary['flow.other_interval'] == 1
    assert summary['flow.epe_px'] == 0
    assert 'flow.epe_px' not in lines[1]


def test_a_folder_with_the_truth_is_a_reference(tmp_path: Path):
    truth = tmp_path / 'truth'
    for name in ('labels', 'flow'):
        (truth / name).mkdir(parents=True)
    cv2.imwrite(str(truth / 'labels' / f'{START_NS}.png'), with_cars(100))
    start = np.array([202021.25], '<f4').tobytes() + np.array([64, 48], '<i4').tobytes()
    (truth / 'flow' / f'{START_NS}.flo').write_bytes(start + FLOW.astype('<f4').tobytes())
    (truth / 'classes.json').write_text(json.dumps({'classes': CLASSES}))
    run = write_run(tmp_path / 'a', [with_cars(50), ROAD], [FLOW + 1, FLOW])
    _, summary, lines = compared(tmp_path, run, truth)
    assert len(lines) == 1
    assert summary['labels.iou.car'] == pytest.approx(0.5)
    assert summary['flow.epe_px'] == pytest.approx(2 ** 0.5)
    assert summary['frames.extra'] == 1


CRITERIA = """
criteria:
- {measure: labels.agreement, least: 0.95}
- {measure: labels.agreement, least: 0.99, frames: 0.5}
- {measure: labels.share_change.car, most: 0.001}
- {measure: frames.missing, most: 0}
"""


def test_criteria_decide_the_exit_status_and_are_named_by_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / 'criteria.yaml').write_text(CRITERIA)
    second = write_run(tmp_path / 'b', [ROAD, ROAD])
    good = write_run(tmp_path / 'good', [ROAD, ROAD])
    assert compared(tmp_path, good, second, '--criteria', str(tmp_path / 'criteria.yaml'))[0] == 0
    bad = write_run(tmp_path / 'bad', [ROAD, with_cars(100)])
    capsys.readouterr()
    status, summary, lines = compared(tmp_path, bad, second, '--criteria', str(tmp_path / 'criteria.yaml'))
    assert status == 1
    assert [each['verdict'] for each in summary['criteria']] == ['passed', 'passed', 'FAILED', 'passed']
    assert [line['failed'] for line in lines] == [[], ['labels.agreement >= 0.99 in 0.5 of the frames',
                                                       'labels.share_change.car <= 0.001']]
    assert re.search(r'FAILED: labels.share_change.car <= 0.001: got 0.016', capsys.readouterr().out)
    assert 'FAILED' in (tmp_path / 'out' / 'index.html').read_text()


def test_a_criterion_that_nothing_can_be_said_of_is_not_met(tmp_path: Path):
    (tmp_path / 'criteria.yaml').write_text('criteria: [{measure: flow.epe_px, most: 1}]')
    runs = [write_run(tmp_path / name, [ROAD]) for name in 'ab']
    assert compared(tmp_path, *runs, '--criteria', str(tmp_path / 'criteria.yaml'))[0] == 1


@pytest.mark.parametrize(('text', 'fault'), [
    ('criteria: [{measure: x, least: 1}]', "measure: got 'x', expected one of labels.agreement"),
    ('criteria: [{measure: labels.agreement}]', 'criteria[0]: expected either least or most'),
    ('criteria: [{measure: labels.agreement, least: a}]', "least: got 'a', expected a number"),
    ('criteria: [{measure: frames.missing, most: 0, frames: 1}]', 'frames: got 1, expected a share'),
    ('criteria: [{measure: labels.agreement, least: 1, color: red}]', "unknown field 'color'"),
    ('bounds: []', 'criteria: missing')])
def test_wrong_criteria_are_refused_before_anything_is_read(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str):
    (tmp_path / 'criteria.yaml').write_text(text)
    assert cli.main(['compare', 'none', 'none', '--criteria', str(tmp_path / 'criteria.yaml')]) == 2
    assert fault in capsys.readouterr().err


def test_runs_over_different_recordings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = write_run(tmp_path / 'a', [ROAD], stamps=[1])
    second = write_run(tmp_path / 'b', [ROAD], stamps=[2])
    assert cli.main(['compare', str(first), str(second), '-o', str(tmp_path / 'out')]) == 2
    assert 'none with the same stamp' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_the_worst_moments_show_the_camera_image(tmp_path: Path):
    lawn = np.full((48, 64, 3), (0, 255, 0), np.uint8)
    camera = write_bag(tmp_path / 'camera', [('/cam/image', image(lawn, START_NS, 'rgb8'))])
    first, second = write_run(tmp_path / 'a', [with_cars(100)]), write_run(tmp_path / 'b', [ROAD])
    greens = []
    for arguments in ([], ['--images', str(camera)]):
        compared(tmp_path, first, second, *arguments)
        greens.append(max(_green(data) for data in _images(tmp_path / 'out' / 'index.html')))
    assert greens[0] < 0.05
    assert greens[1] > 0.3


def _images(page: Path) -> list[np.ndarray]:
    import base64
    found = re.findall(r'data:image/png;base64,([^"]+)', page.read_text())
    return [cv2.imdecode(np.frombuffer(base64.b64decode(each), np.uint8), cv2.IMREAD_COLOR) for each in found]


def _green(image: np.ndarray) -> float:
    """Return the share of pixels in which green leads clearly."""
    blue, green, red = (image[..., n].astype(int) for n in range(3))
    return float(((green > red + 30) & (green > blue + 30)).mean())


def test_an_exported_dataset_is_a_reference_with_images(tmp_path: Path):
    lawn = image(np.full((48, 64, 3), (0, 255, 0), np.uint8), START_NS, 'rgb8')
    second = write_bag(tmp_path / 'b', [('/segmentation/label_info_json', label_info()), ('/image', lawn),
                                        ('/segmentation/label_map', image(ROAD, START_NS, 'mono8'))])
    assert cli.main(['export-dataset', str(second), str(tmp_path / 'truth'), '--format', 'labels']) == 0
    first = write_run(tmp_path / 'a', [with_cars(100)])
    assert compared(tmp_path, first, tmp_path / 'truth')[1]['labels.agreement'] == pytest.approx(1 - 100 / ROAD.size)
    assert max(_green(data) for data in _images(tmp_path / 'out' / 'index.html')) > 0.3

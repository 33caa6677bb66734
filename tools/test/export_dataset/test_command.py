import json

import cv2
import numpy as np
import pytest
from bags import PERIOD_NS, START_NS, TYPES, images, write_bag

from trt_perception_tools.cli import main
from trt_perception_tools.compare.run import open_run
from trt_perception_tools.datasets.flow import flow_pairs, read_flow
from trt_perception_tools.datasets.images import read_image

SIZE = (24, 32)
STAMPS = [START_NS + number * PERIOD_NS - 7 for number in range(4)]


def export(*arguments):
    return main(['export-dataset', *map(str, arguments)])


def labels_of(message):
    return message.data.reshape(*SIZE, 3).argmax(2)


def test_label_maps_are_written_as_ids_and_colours_beside_their_images(tmp_path, run_of):
    sent = images(4, size=SIZE)
    assert export(run_of(sent), tmp_path / 'out') == 0
    classes = json.loads((tmp_path / 'out' / 'classes.json').read_text())
    assert classes['void'] == 255
    assert [(each['id'], each['name'], each['color']) for each in classes['classes']][1] == (1, 'greenish', [0, 255, 0])
    for stamp_ns, (_, message, _) in zip(STAMPS, sent, strict=True):
        ids = cv2.imread(str(tmp_path / 'out' / 'labels' / f'{stamp_ns}.png'), cv2.IMREAD_UNCHANGED)
        assert (ids == labels_of(message)).all()
        colors = read_image(tmp_path / 'out' / 'colors' / f'{stamp_ns}.png')[..., ::-1]
        assert (colors == 255 * np.eye(3, dtype=np.uint8)[ids]).all()
        image = read_image(tmp_path / 'out' / 'images' / f'{stamp_ns}.png')[..., ::-1]
        assert (image == message.data.reshape(*SIZE, 3)).all()


def test_evaluate_reads_the_labels_back(tmp_path, run_of, models, capsys):
    export(run_of(images(4, size=SIZE)), tmp_path / 'out')
    capsys.readouterr()
    assert main(['evaluate', models[0], '--data', str(tmp_path / 'out'), '--engine', 'onnxruntime',
                 '--fail-under', '1.0']) == 0
    assert 'pixel accuracy, % 100.00' in ' '.join(capsys.readouterr().out.split())


def test_compare_takes_a_dataset_for_truth(tmp_path, run_of):
    run = run_of(images(4, size=SIZE))
    export(run, tmp_path / 'out')
    truth = open_run(tmp_path / 'out')
    assert set(truth.contents) == {('', stamp_ns) for stamp_ns in STAMPS}
    for ours, theirs in zip(*(each.results(set(truth.contents)) for each in (truth, open_run(run))), strict=True):
        assert (ours.labels == theirs.labels).all()


def decoded(annotation):
    """Return the mask of a COCO annotation, as pycocotools' rle decoding does: column by column, from False."""
    height, width = annotation['segmentation']['size']
    values = np.arange(len(annotation['segmentation']['counts'])) % 2 == 1
    return np.repeat(values, annotation['segmentation']['counts']).reshape((height, width), order='F')


def test_a_coco_index_has_the_pixels_of_each_class(tmp_path, run_of):
    sent = images(4, size=SIZE)
    export(run_of(sent), tmp_path / 'out', '--format', 'coco', '--every', '2')
    index = json.loads((tmp_path / 'out' / 'annotations.json').read_text())
    assert [each['file_name'] for each in index['images']] == [f'{stamp_ns}.png' for stamp_ns in STAMPS[::2]]
    assert [(each['id'], each['name']) for each in index['categories']] == [
        (0, 'reddish'), (1, 'greenish'), (2, 'bluish')]
    assert len(index['annotations']) == 6
    for each in index['annotations']:
        expected = labels_of(sent[2 * (each['image_id'] - 1)][1]) == each['category_id']
        assert (decoded(each) == expected).all()
        assert each['area'] == expected.sum()
        x, y, width, height = each['bbox']
        assert expected[y:y + height, x:x + width].sum() == each['area']
        assert expected[y].any()
        assert expected[:, x].any()


@pytest.mark.parametrize('grid', ['current', 'previous'])
@pytest.mark.parametrize('name', ['kitti', 'middlebury'])
def test_flow_goes_from_the_first_image_of_a_pair_to_the_second(tmp_path, run_of, name, grid):
    sent = images(4, size=SIZE)
    export(run_of(sent, settings={'flow_grid': grid}), tmp_path / 'out', '--format', name)
    pairs = flow_pairs(tmp_path / 'out')
    assert len(pairs) == 3
    for number, pair in enumerate(pairs):
        earlier, later = (each[1].data.reshape(*SIZE, 3) for each in sent[number:number + 2])
        first, second = (later, earlier) if grid == 'current' else (earlier, later)
        assert (read_image(pair.first)[..., ::-1] == first).all()
        assert (read_image(pair.second)[..., ::-1] == second).all()
        # The tiny network: u is the grey level of the first image that it sees, v that of the second.
        gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
        assert np.abs(read_flow(pair.flow) - np.stack(gray, 2)).max() <= 1


def test_evaluate_reads_the_flow_back(tmp_path, run_of, models):
    export(run_of(images(4, size=SIZE)), tmp_path / 'out', '--format', 'kitti')
    assert main(['evaluate', models[1], '--data', str(tmp_path / 'out'), '--engine', 'onnxruntime', '--fail-above',
                 '0.001']) == 0


def test_images_come_from_the_original_bag_where_the_run_has_none(tmp_path, run_of):
    sent = images(4, size=SIZE)
    run = run_of(sent, with_input=False)
    assert export(run, tmp_path / 'without', '--format', 'labels') == 0
    assert not (tmp_path / 'without' / 'images').exists()
    assert export(run, tmp_path / 'with', '--images', tmp_path / 'run_input', '--format', 'labels', 'kitti') == 0
    assert len(list((tmp_path / 'with' / 'images').iterdir())) == 4
    assert len(list((tmp_path / 'with' / 'flow_occ').iterdir())) == 3


def test_each_camera_has_a_dataset_of_its_own(tmp_path, run_of):
    sent = sorted(images(2, '/front/image', size=SIZE) + images(2, '/rear/image', size=SIZE, seed=3),
                  key=lambda each: each[2])
    export(run_of(sent), tmp_path / 'out', '--format', 'labels', 'kitti')
    rear = labels_of(sent[1][1])
    for name, expected in (('front', labels_of(sent[0][1])), ('rear', rear)):
        ids = cv2.imread(str(tmp_path / 'out' / name / 'labels' / f'{STAMPS[0]}.png'), cv2.IMREAD_UNCHANGED)
        assert (ids == expected).all()
        assert len(list((tmp_path / 'out' / name / 'flow_occ').iterdir())) == 1


@pytest.mark.parametrize(('arguments', 'text'), [
    (['--every', '0'], '--every: got 0, expected at least 1.'),
    (['--review', '-1'], '--review: got -1, expected at least 0.')])
def test_a_wrong_argument_is_refused(tmp_path, run_of, capsys, arguments, text):
    assert export(run_of(images(2, size=SIZE)), tmp_path / 'out', *arguments) == 2
    assert text in capsys.readouterr().err


def test_a_folder_that_is_not_empty_is_refused_and_kept(tmp_path, run_of, capsys):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine').write_text('important')
    assert export(run_of(images(2, size=SIZE)), tmp_path / 'out') == 2
    assert f'{tmp_path / "out"}: it is not empty. Give another folder' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'mine').read_text() == 'important'


def test_a_bag_without_results_is_refused(tmp_path, capsys):
    sent = [('/chatter', TYPES.types.String(data='hello'), START_NS)]
    assert export(write_bag(tmp_path / 'bag', sent), tmp_path / 'out') == 2
    assert 'got /chatter, expected segmentation/label_map or optical_flow/flow' in capsys.readouterr().err


def test_a_format_for_which_there_is_nothing_is_refused(tmp_path, run_of, capsys):
    run = run_of(images(3, size=SIZE), with_input=False)
    assert export(run, tmp_path / 'out', '--format', 'kitti') == 2
    assert '--format kitti: got no flow in' in capsys.readouterr().err

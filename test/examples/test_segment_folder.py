import cv2
import networks
import numpy as np
import segment_folder


def test_each_image_of_a_folder_gets_its_label_map_and_an_overlay(tmp_path, capsys):
    model = networks.segmentation_model(tmp_path)
    images = tmp_path / 'images'
    images.mkdir()
    left_green = np.zeros((12, 16, 3), np.uint8)
    left_green[:, :8] = (0, 200, 0)
    left_green[:, 8:] = (200, 0, 0)
    cv2.imwrite(str(images / 'one.png'), left_green)
    (images / 'broken.jpg').write_bytes(b'no image')
    (images / 'notes.txt').write_text('left out')
    assert segment_folder.main([str(images), str(tmp_path / 'out'), '--model', model.path]) == 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'one.png', 'one.overlay.jpg'}
    labels = cv2.imread(str(tmp_path / 'out' / 'one.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(labels, left_green[..., ::-1].argmax(axis=2))
    printed = capsys.readouterr()
    assert printed.out == 'one.png: greenish 50%, bluish 50%, reddish 0%\n'
    assert 'broken.jpg: not an image' in printed.err

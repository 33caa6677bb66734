import numpy as np
import pytest
from random_images import write_image

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception_tools.datasets.cityscapes import cityscapes_images, read_cityscapes_annotation


def test_images_of_all_cities_are_listed_with_their_annotations(tmp_path):
    for city in ('ulm', 'aachen'):
        name = f'{city}/{city}_000001_000019'
        write_image(tmp_path / f'leftImg8bit/val/{name}_leftImg8bit.png', np.zeros((4, 4, 3), np.uint8))
        write_image(tmp_path / f'gtFine/val/{name}_gtFine_labelIds.png', np.zeros((4, 4), np.uint8))
    images = cityscapes_images(tmp_path, 'val')
    assert [each.name for each in images] == ['aachen_000001_000019', 'ulm_000001_000019']
    assert images[1].annotation == tmp_path / 'gtFine/val/ulm/ulm_000001_000019_gtFine_labelIds.png'
    assert images[1].image.is_file()


def test_a_missing_split_or_annotation_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r'leftImg8bit.train: no CITY/NAME_leftImg8bit'):
        cityscapes_images(tmp_path, 'train')
    write_image(tmp_path / 'leftImg8bit/train/ulm/ulm_1_leftImg8bit.png', np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ConfigError, match=r'ulm_1_gtFine_labelIds\.png: no such file'):
        cityscapes_images(tmp_path, 'train')


def test_label_ids_become_the_19_classes_and_the_rest_void(tmp_path):
    # unlabelled, ego vehicle, road, pavement, parking, building, train, motorcycle, bicycle, licence plate (-1)
    write_image(tmp_path / 'a.png', np.uint8([[0, 1, 7, 8, 9, 11, 31, 32, 33, 255]]))
    np.testing.assert_array_equal(read_cityscapes_annotation(tmp_path / 'a.png'),
                                  [[VOID, VOID, 0, 1, VOID, 2, 16, 17, 18, VOID]])


@pytest.mark.parametrize('image', [np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 34, np.uint8)])
def test_another_image_is_no_annotation(tmp_path, image):
    write_image(tmp_path / 'a.png', image)
    with pytest.raises(ConfigError, match=r'a\.png: (got 3 channels|got label id 34, expected 0\.\.33)'):
        read_cityscapes_annotation(tmp_path / 'a.png')

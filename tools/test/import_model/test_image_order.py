import pytest

from trt_perception_tools.import_model.image_order import second_comes_first


@pytest.mark.parametrize(('first', 'second', 'swapped', 'how'), [
    ('image1', 'image2', False, 'numbers'), ('im2', 'im1', True, 'numbers'), ('input.10', 'input.9', True, 'numbers'),
    ('previous', 'current', False, 'names'), ('cur_frame', 'prev_frame', True, 'names'),
    ('target', 'source', True, 'names'), ('img_a', 'img_b', False, 'names'), ('x', 'y', False, 'declares')])
def test_the_earlier_image_is_known_by_names_and_numbers(first: str, second: str, swapped: bool, how: str):
    found, words = second_comes_first(first, second)
    assert found == swapped
    assert how in words

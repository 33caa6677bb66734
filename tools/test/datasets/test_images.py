from pathlib import Path

import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools.datasets.images import read_image


def test_a_file_that_is_no_image_is_refused(tmp_path: Path):
    (tmp_path / 'x.png').write_text('no image')
    with pytest.raises(ConfigError, match=r'x\.png: no image'):
        read_image(tmp_path / 'x.png')

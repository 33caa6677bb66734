from pathlib import Path

import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools.datasets.images import read_picture


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path):
    (tmp_path / 'x.png').write_text('no picture')
    with pytest.raises(ConfigError, match=r'x\.png: no picture'):
        read_picture(tmp_path / 'x.png')

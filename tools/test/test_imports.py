from pathlib import Path

from test_architecture import circle_in, modules_of

import trt_perception_tools

PACKAGE = Path(trt_perception_tools.__file__).parent


def test_modules_do_not_import_each_other_in_a_circle():
    files = [(path.relative_to(PACKAGE).as_posix(), path.read_text()) for path in sorted(PACKAGE.rglob('*.py'))]
    graph = modules_of(files, PACKAGE.name)
    assert 'trt_perception_tools.tasks' in graph['trt_perception_tools.evaluate.data']
    assert circle_in(graph) == []

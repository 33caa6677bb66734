import networks
import pytest

from trt_perception.core.class_costs import GROUND, OBSTACLE, UNSEEN, load_class_costs
from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_labels
from trt_perception.core.share import share_path

COSTS = {'ground': {'road': 0, 'grass': 70}, 'obstacles': {'car': 90}, 'unseen': ['sky']}


def load(folder, **changes):
    return load_class_costs(networks.write_yaml(folder / 'costs.yaml', dict(COSTS, **changes)))


def test_each_class_has_its_role_and_cost(tmp_path):
    tables = load(tmp_path).tables({0: 'sky', 1: 'road', 4: 'grass', 7: 'car', 9: 'tank'})
    assert [tables.roles[i] for i in (0, 1, 4, 7, 9, 2, 255)] == [UNSEEN, GROUND, GROUND, OBSTACLE, OBSTACLE, UNSEEN,
                                                                 UNSEEN]
    assert [tables.costs[i] for i in (0, 1, 4, 7, 9, 2, 255)] == [-1, 0, 70, 90, 100, -1, -1]
    assert tables.unnamed == ('tank',)


def test_the_shipped_file_names_every_class_of_the_default_label_set():
    costs = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
    tables = costs.tables({each.id: each.name for each in load_labels('camvid').classes})
    assert tables.unnamed == ()
    assert tables.roles[3] == GROUND
    assert tables.roles[8] == OBSTACLE


@pytest.mark.parametrize(('changes', 'text'), [
    ({'ground': {'road': 101}}, "ground: got {'road': 101}, expected a mapping of class names to costs from 0 to 100"),
    ({'ground': {'road': True}}, 'expected a mapping of class names to costs'),
    ({'ground': {1: 1}}, 'expected a mapping of class names to costs'),
    ({'ground': {}}, 'ground: got no class'), ({'obstacles': ['car']}, 'obstacles: got '),
    ({'obstacles': {'road': 1}}, "class 'road' is named twice"),
    ({'unseen': ['grass']}, "class 'grass' is named twice"),
    ({'grounds': {}}, "unknown field 'grounds'. Did you mean 'ground'")])
def test_a_wrong_file_is_refused_by_name(tmp_path, changes, text):
    with pytest.raises(ConfigError, match=text.replace('(', r'\(')):
        load(tmp_path, **changes)

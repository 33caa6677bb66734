import pytest

torch = pytest.importorskip('torch')

from trt_perception_tools import cli  # noqa: E402
from trt_perception_tools.export.describe_network import describe  # noqa: E402
from trt_perception_tools.networks import NETWORKS, parse_network  # noqa: E402


def test_the_published_parameter_counts_come_out():
    # Six more with mean and deviation of the images, which no training changes.
    costs, _ = describe(NETWORKS['swiftnet'], {}, (32, 64))
    assert (costs[0][0], costs[0][1].parameters) == ('trained', 11_797_077 - 6)
    costs, _ = describe(NETWORKS['nanoflownet'], {}, (32, 64))
    assert costs[0][1].parameters == costs[-1][1].parameters == 167_548


def test_merging_and_folding_take_layers_away():
    costs, remark = describe(*parse_network('swiftnet,encoder=repvgg,width=0.125'), (64, 64))
    assert [stage for stage, _ in costs] == ['trained', 'merged', 'exported']
    (_, trained), (_, merged), (_, exported) = costs
    # 22 blocks of three branches, of two where the shape changes: stem and first blocks.
    assert trained.convolutions - merged.convolutions == 22
    assert trained.batch_norms - merged.batch_norms == 22 * 2 + (22 - 5)
    assert trained.parameters > merged.parameters
    assert trained.multiply_adds > merged.multiply_adds == exported.multiply_adds
    assert merged.layers > exported.layers
    assert exported.batch_norms == 11
    assert remark.startswith('11 batch normalisations left, behind Add (3), Concat (1), MatMul (3), Relu (4)')


def test_a_multiply_add_is_two_operations_and_grows_with_the_image():
    small, large = (describe(NETWORKS['nanoflownet'], {}, (side, side))[0][-1][1] for side in (64, 128))
    assert large.multiply_adds == pytest.approx(4 * small.multiply_adds, rel=0.01)
    assert small.gflops == 2e-9 * small.multiply_adds


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]):
    assert cli.main(['describe-network', 'espnet,classes=6', '--size', '64', '64']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(',')[0] + line.split(',')[1].split()[0] for line in lines[1:3]] == ['espnetclasses=6'] * 2
    assert lines[3].startswith('espnet,classes=6, exported: 17 batch normalisations left, behind Add (10), Concat (7)')
    assert cli.main(['describe-network', 'espnt']) == 2
    assert "got 'espnt'. Did you mean 'espnet'?" in capsys.readouterr().err
    assert cli.main(['describe-network', 'espnet,colour=red']) == 2
    assert "unexpected keyword argument 'colour'" in capsys.readouterr().err

import onnx.parser
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools import cli
from trt_perception_tools.estimate.boards import BOARDS, Board, Roof, board_of
from trt_perception_tools.estimate.command import Subject, largest_size, network_graph, subject_of_graph
from trt_perception_tools.estimate.roofline import Kernel, estimate, kernels_of, total_ms
from trt_perception_tools.networks import parse_network

PUBLISHED_MS = {'fp32': {256: 36.02, 512: 105.7, 1024: 419.66}, 'fp16': {256: 22.07, 512: 73.01, 1024: 278.37}}
"""SwiftNet RN-18 on the TX2: height of an image twice as wide -> ms."""
SSD_GFLOPS = 433.411
TOY = Board('toy', '', bandwidth_gb_s=2.0, launch_us=1000.0, launch_basis='',
            roofs={'fp32': Roof(0.001, 0.5, ''), 'fp16': Roof(0.002, 0.5, '')}, missing={'int8': 'it is a toy'},
            sources=())


def kernels(body: str, shape: str = '1, 4, 8, 8', weights: str = '', output: str = '1, 4, 8, 8') -> list[Kernel]:
    return kernels_of(onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[{shape}] x) => (float[{output}] y) <{weights}> {{ {body} }}"""))


def test_a_convolution_takes_in_the_sum_and_the_activation_behind_it():
    [entry, fused] = kernels('a = Relu(x) c = Conv(a, w) s = Add(c, a) y = Relu(s)',
                             weights='float[4, 4, 1, 1] w = {' + ', '.join(['1'] * 16) + '}')
    assert (entry.kinds, fused.kinds) == ('Relu', 'Conv+Add+Relu')
    assert fused.operations == 2 * 256 * 4 + 256 + 256
    assert (fused.values, fused.weights) == (512, 16)  # a for the convolution and for the sum; y is FP32.
    assert fused.other_bytes == 4 * 256
    assert fused.moved('fp16') == 2 * (512 + 16) + 4 * 256


def test_a_result_that_others_read_too_ends_a_kernel():
    assert [kernel.kinds for kernel in kernels('a = Relu(x) b = Exp(a) y = Add(a, b)')] == ['Relu', 'Exp+Add']
    assert [kernel.kinds for kernel in kernels('a = MaxPool<kernel_shape = [1, 1]>(x) y = Relu(a)')] \
        == ['MaxPool', 'Relu']


def test_what_only_renames_or_quantises_costs_nothing():
    got = kernels("""i = Identity(x) q = QuantizeLinear(i, s, z) d = DequantizeLinear(q, s, z)
        r = Reshape(d, n) e = Exp(r) y = Reshape(e, n)""", weights="""float s = {1}, int8 z = {0},
        int64[4] n = {1, 4, 8, 8}""")
    assert [(kernel.kinds, kernel.operations, kernel.other_bytes) for kernel in got] == [('Exp', 256, 2 * 4 * 256)]


def test_a_slice_reads_no_more_than_it_gives():
    [whole, part] = kernels('a = Relu(x) y = Slice(a, begin, end)', output='1, 1, 8, 8', weights="""
        int64[4] begin = {0, 0, 0, 0}, int64[4] end = {1, 1, 8, 8}""")
    assert (part.values, part.other_bytes) == (64, 4 * 64)


def test_the_longer_of_computing_and_moving_counts_over_the_share_and_the_launch_comes_on_top():
    computes = Kernel('a', 'Conv', operations=5_000_000, values=1000, other_bytes=0, weights=0)
    moves = Kernel('b', 'Relu', operations=0, values=1_000_000, other_bytes=0, weights=0)
    waits = Kernel('c', 'Relu', operations=1, values=1, other_bytes=0, weights=0)
    got = estimate([computes, moves, waits], TOY, 'fp32')
    assert [each.bound for each in got] == ['compute', 'memory', 'launch']
    assert [each.milliseconds for each in got] == pytest.approx([5 / 0.5 + 1, 2 / 0.5 + 1, 1], rel=1e-3)
    assert total_ms(estimate([moves], TOY, 'fp16', area=3)) == pytest.approx(3 * 1 / 0.5 + 1)


def test_weights_are_read_once_whatever_the_size_of_the_image():
    kernel = Kernel('a', 'Conv', operations=1, values=10, other_bytes=20, weights=1000)
    assert kernel.moved('fp16', area=4) == 2 * (4 * 10 + 1000) + 4 * 20


def test_the_largest_size_that_reaches_a_rate_keeps_the_shape():
    subject = Subject('a', (64, 128), [Kernel('a', 'Conv', 1_000_000, 0, 0, 0)])
    assert largest_size(subject, TOY, 'fp32', 3.1) == (64, 128)  # 1 ms of launch and 2 of computing.
    assert largest_size(subject, TOY, 'fp32', 2.9) == (32, 64)
    assert largest_size(subject, TOY, 'fp32', 1.4) is None


def test_a_board_says_why_it_lacks_a_precision():
    with pytest.raises(ConfigError, match=r"tx2: got precision 'int8', expected one of fp32, fp16: sm_62 has no DP4A"):
        BOARDS['tx2'].roof('int8')
    with pytest.raises(ConfigError, match=r"board: got 'tx3'. Did you mean 'tx2'\?"):
        board_of('tx3')


@pytest.fixture(scope='module')
def swiftnet() -> Subject:
    pytest.importorskip('torch')
    return subject_of_graph(network_graph(*parse_network('swiftnet,classes=19'), (512, 1024)), 'swiftnet')


@pytest.mark.parametrize('precision', PUBLISHED_MS)
def test_the_published_times_of_swiftnet_on_the_tx2_come_out(swiftnet: Subject, precision: str):
    # One share per precision, fitted on the middle size. The smallest is slower than that: its deep layers have
    # 8x16 pixels and do not fill the GPU, which a roofline does not know.
    board = BOARDS['tx2']
    got = {height: total_ms(estimate(swiftnet.kernels, board, precision, (height / 512) ** 2))
           for height in PUBLISHED_MS[precision]}
    assert got[512] == pytest.approx(PUBLISHED_MS[precision][512], rel=1e-3)
    assert got[1024] == pytest.approx(PUBLISHED_MS[precision][1024], rel=0.10)
    assert got[256] == pytest.approx(PUBLISHED_MS[precision][256], rel=0.30)


def test_scaling_by_area_agrees_with_a_graph_of_that_size(swiftnet: Subject):
    small = subject_of_graph(network_graph(*parse_network('swiftnet,classes=19'), (256, 512)), 'swiftnet')
    board = BOARDS['tx2']
    assert small.size == (256, 512)
    assert total_ms(estimate(swiftnet.kernels, board, 'fp16', 0.25)) \
        == pytest.approx(total_ms(estimate(small.kernels, board, 'fp16')), rel=0.01)


@pytest.mark.parametrize(('board', 'milliseconds'), [('xavier', 25.85), ('orin', 8.005)])
def test_int8_shares_follow_from_mlperfs_ssd_resnet34(board: str, milliseconds: float):
    roof = BOARDS[board].roofs['int8']
    assert roof.fitted
    assert roof.share == pytest.approx(SSD_GFLOPS / roof.tera_ops / milliseconds, abs=5e-4)


@pytest.mark.parametrize(('board', 'milliseconds'), [('xavier', 1.820), ('orin', 0.630)])
def test_the_cost_of_a_launch_follows_from_mlperfs_resnet50(board: str, milliseconds: float):
    torch = pytest.importorskip('torch')
    from trt_perception_tools.export.to_onnx import to_onnx
    network = kernels_of(to_onnx(resnet50(torch.nn), [torch.zeros(1, 3, 224, 224)]))
    assert sum(kernel.operations for kernel in network) == pytest.approx(8.2e9, rel=0.01)
    assert total_ms(estimate(network, BOARDS[board], 'int8')) == pytest.approx(milliseconds, rel=0.01)


def resnet50(nn):
    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, stride, 1),
                                      nn.ReLU(), nn.Conv2d(width, 4 * width, 1))
            self.shortcut = nn.Sequential() if inputs == 4 * width else nn.Conv2d(inputs, 4 * width, 1, stride)

        def forward(self, x):
            return nn.functional.relu(self.body(x) + self.shortcut(x))

    layers, inputs = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, count, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(count):
            layers.append(Block(inputs, width, 1 if number else first))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)).eval()


def test_the_command_says_what_bounds_which_size_and_what_is_missing(capsys: pytest.CaptureFixture[str]):
    assert cli.main(['estimate', 'swiftnet_camvid', '--board', 'tx2', 'orin', '--size', '224x304', '448x608',
                     '--kernels', '1', '--sources']) == 0
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if '| swift' in line]
    assert [row[1:4] for row in rows[:5]] == [['224x304', 'tx2', 'fp32'], ['224x304', 'tx2', 'fp16'],
                                              ['224x304', 'orin', 'fp32'], ['224x304', 'orin', 'fp16'],
                                              ['224x304', 'orin', 'int8']]
    assert float(rows[0][4]) > float(rows[1][4]) > float(rows[4][4])
    assert float(rows[5][4]) > float(rows[0][4])
    assert rows[0][-1] == '79%, fitted'
    assert rows[2][-1] == '79%, not fitted'
    assert 'Conv+Relu' in text
    assert 'tx2: no int8: sm_62 has no DP4A' in text
    assert 'MLPerf Inference v2.0, SSD-ResNet34' in text


@pytest.mark.parametrize(('arguments', 'message'), [
    (['none.onnx'], 'none.onnx: no such file'),
    (['swiftnet_camvid', '--board', 'tx3'], "board: got 'tx3'"),
    (['swiftnet_camvid', '--precision', 'int8'], 'sm_62 has no DP4A'),
    (['swiftnet_camvid', '--size', '512'], "--size: got '512', expected a height and a width in px"),
    (['swiftnet_camvid', '--rate', '0'], '--rate: got 0'),
    (['swiftnet', '--size', '100x200'], 'size: got 100x200, expected multiples of 32'),
    (['swift'], "no 'swift'"),
])
def test_what_cannot_be_estimated_is_refused_in_one_line(arguments: list[str], message: str,
                                                         capsys: pytest.CaptureFixture[str]):
    if arguments[0] == 'swiftnet':
        pytest.importorskip('torch')
    assert cli.main(['estimate', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert message in error

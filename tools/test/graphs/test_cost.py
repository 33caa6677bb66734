import onnx.parser
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools.graphs.cost import Cost, cost, cost_table


def count(body: str, shape: str = '1, 4, 8, 8', weights: str = '', output: str = 'a, b, c, d') -> Cost:
    return cost(onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[{shape}] x{weights}) => (float[{output}] y) {{ {body} }}"""))


def test_a_convolution_costs_outputs_times_kernel_times_inputs():
    got = count('y = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w)', weights=', float[6, 4, 3, 3] w')
    assert got.multiply_adds == (6 * 4 * 4) * (4 * 3 * 3)
    assert got.gflops == pytest.approx(2e-9 * got.multiply_adds)
    assert (got.layers, got.convolutions, got.batch_norms) == (1, 1, 0)


def test_a_grouped_convolution_sees_only_its_group():
    assert count('y = Conv<group = 4>(x, w)', weights=', float[4, 1, 1, 1] w').multiply_adds == (4 * 8 * 8) * 1


def test_a_deconvolution_costs_inputs_times_kernel_times_outputs():
    assert count('y = ConvTranspose<strides = [2, 2]>(x, w)',
                 weights=', float[4, 5, 2, 2] w').multiply_adds == (4 * 8 * 8) * (5 * 2 * 2)


def test_matrix_products_cost_the_length_of_their_sums():
    assert count('y = MatMul(x, w)', weights=', float[8, 3] w').multiply_adds == (4 * 8 * 3) * 8
    assert count('y = Gemm<transA = 1>(x, w)', '8, 5', ', float[8, 3] w', 'a, b').multiply_adds == (5 * 3) * 8


def test_parameters_are_the_weights_without_statistics_sizes_and_single_numbers():
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 13]>
    g (float[1, 2, 1, 1] x) => (float[2] y)
    <float[2, 2, 1, 1] w = {1, 2, 3, 4}, float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0, 0},
     float[2] v = {1, 1}, float half = {0.5}, int64[1] size = {2}> {
      c = Conv(x, w)
      n = BatchNormalization(c, s, b, m, v)
      h = Mul(n, half)
      k = Constant<value = float[2] {1, 2}>()
      i = Identity(k)
      r = Reshape(h, size)
      y = Add(r, i)
    }""")
    assert cost(model) == Cost(parameters=4 + 2 + 2 + 2, multiply_adds=4, layers=5, convolutions=1, batch_norms=1)


def test_a_dynamic_shape_is_refused():
    with pytest.raises(ConfigError, match='no static shape'):
        count('y = Conv(x, w)', '1, 4, H, 8', ', float[6, 4, 3, 3] w')


def test_the_table_has_a_line_per_graph():
    lines = cost_table([('a', Cost(1_234_567, 2_500_000_000, 30, 20, 1)), ('longer', Cost(1, 2, 3, 4, 5))]).split('\n')
    assert lines[1].split() == ['a', '1,234,567', '5.00', '30', '20', '1']
    assert lines[2].split() == ['longer', '1', '0.00', '3', '4', '5']
    assert len({len(line) for line in lines}) == 1

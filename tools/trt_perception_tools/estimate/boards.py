"""Boards: peak arithmetic and bandwidth, and the share of them that networks reach. A table with its sources."""
from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from trt_perception.core.errors import ConfigError, did_you_mean

BYTES = MappingProxyType({'fp32': 4, 'fp16': 2, 'int8': 1})
"""Precision -> bytes of a number."""


class Roof(NamedTuple):
    """The peak that a board reaches in one precision."""

    tera_ops: float
    """Peak without sparsity, 10^12 operations per second, two per multiply-add, at the highest clock."""
    share: float
    """Share of this peak, or of the bandwidth if that is the limit, that a network reaches, 0..1."""
    basis: str
    """Where the share comes from."""

    @property
    def fitted(self) -> bool:
        """Whether the share was fitted on a time that was published for this board and precision."""
        return not self.basis.startswith('not fitted')


class Board(NamedTuple):
    """One line of the table."""

    name: str
    description: str
    bandwidth_gb_s: float
    """10^9 bytes per second."""
    launch_us: float
    """Fixed time of every kernel: launch, filling and draining the GPU."""
    launch_basis: str
    roofs: Mapping[str, Roof]
    """Roofs by precision."""
    missing: Mapping[str, str]
    """Precision that the board does not have -> why."""
    sources: tuple[str, ...]

    def roof(self, precision: str) -> Roof:
        """Return what it reaches in a precision.

        Raises:
            ConfigError: it has no such arithmetic.
        """
        if precision not in self.roofs:
            raise ConfigError(f'board {self.name}: got precision {precision!r}, expected one of '
                              f'{", ".join(self.roofs)}: {self.missing.get(precision, "no such precision")}.')
        return self.roofs[precision]


# Shares are fitted on one published network each; test_estimate.py repeats every fit.
_SWIFTNET = 'fitted on the published time of SwiftNet RN-18 at 512x1024, {} ms'
_SSD = 'fitted on MLPerf Inference {}, SSD-ResNet34 (433.4 GFLOPs, 1200x1200), SingleStream, mean {} ms'
_RESNET = 'fitted on MLPerf Inference {}, ResNet-50, SingleStream, mean {} ms'
_NOT_FITTED = 'not fitted, taken from {}'
_MLPERF = 'https://github.com/mlcommons/inference_results_{}/tree/main/closed/NVIDIA/results/{}'
_SSD_COST = 'https://github.com/openvinotoolkit/open_model_zoo (ssd-resnet34-1200-onnx: 433.411 GFLOPs)'
_ORIN_BRIEF = ('NVIDIA Jetson AGX Orin Series Technical Brief (2048 cores, 64 tensor cores, 5.3 FP32 TFLOPS, 170 '
               'sparse INT8 TOPS), quoted in http://mzph.cn/web/30785.shtml')

_BOARDS = (
    Board('tx2', 'Jetson TX2: 256-core Pascal at 1.3 GHz (Max-N)', 59.7, 20.7, _NOT_FITTED.format('xavier'),
          {'fp32': Roof(0.6656, 0.789, _SWIFTNET.format(105.7)), 'fp16': Roof(1.3312, 0.5755, _SWIFTNET.format(73.01))},
          {'int8': 'sm_62 has no DP4A, INT8 would not be faster than FP32'},
          ('256 cores x 2 x 1.3 GHz, FP16 twice that',
           'clocks: https://gist.github.com/ZekunZh/75fa879061bbba436ca226838042dfd9',
           'bandwidth: 128 bit x 3.73 GT/s, https://hmc-tech.com/gpus/nvidia-tegra-x2-vs-nvidia-tegra-switch-2')),
    Board('xavier', 'Jetson AGX Xavier: 512-core Volta, 64 tensor cores, at 1.377 GHz (Max-N)', 136.5, 20.7,
          _RESNET.format('v1.1', 1.820),
          {'fp32': Roof(1.410, 0.789, _NOT_FITTED.format('tx2 fp32')),
           'fp16': Roof(11.28, 0.743, _NOT_FITTED.format('xavier int8')),
           'int8': Roof(22.56, 0.743, _SSD.format('v1.1', 25.85))}, {},
          ('512 cores x 2 x 1.377 GHz; 64 tensor cores x 64 (FP16), x 128 (INT8) multiply-adds',
           'clock: https://github.com/NVIDIA-AI-IOT/jetson_benchmarks',
           'bandwidth: 256 bit x 4.27 GT/s, https://gist.github.com/discort/2213fcd6a2d408e930d3b53334332f9d',
           _MLPERF.format('v1.1', 'AGX_Xavier_TRT'), _SSD_COST)),
    Board('orin-nano', 'Jetson Orin Nano 8 GB: 1024-core Ampere, 32 tensor cores, at 0.625 GHz', 68.0, 3.7,
          _NOT_FITTED.format('orin'),
          {'fp32': Roof(1.28, 0.789, _NOT_FITTED.format('tx2 fp32')),
           'fp16': Roof(10.24, 0.635, _NOT_FITTED.format('orin int8')),
           'int8': Roof(20.48, 0.635, _NOT_FITTED.format('orin int8'))}, {},
          ('https://huggingface.co/opencv/opencv_zoo/commit/51d25f918c5e36757bb5aed1bfd97a1f636de63f (cores, clock)',
           '40 sparse INT8 TOPS, 68 GB/s: https://github.com/hokwangchoi/jetson-orin-nano-benchmarks')),
    Board('orin-nano-super', 'Jetson Orin Nano 8 GB, MAXN_SUPER: the same at 1.02 GHz', 102.0, 3.7,
          _NOT_FITTED.format('orin'),
          {'fp32': Roof(2.09, 0.789, _NOT_FITTED.format('tx2 fp32')),
           'fp16': Roof(16.7, 0.635, _NOT_FITTED.format('orin int8')),
           'int8': Roof(33.4, 0.635, _NOT_FITTED.format('orin int8'))}, {},
          ('67 sparse INT8 TOPS, 102 GB/s, 1.02 GHz: https://www.brojogopalsapui.com/ai-foundations/sub_contents/'
           'AI_hardware/jetson_orin_nano_light.html',)),
    Board('orin', 'Jetson AGX Orin 64 GB: 2048-core Ampere, 64 tensor cores, at 1.3 GHz (Max-N)', 204.8, 3.7,
          _RESNET.format('v3.0', 0.630),
          {'fp32': Roof(5.32, 0.789, _NOT_FITTED.format('tx2 fp32')),
           'fp16': Roof(42.6, 0.635, _NOT_FITTED.format('orin int8')),
           'int8': Roof(85.2, 0.635, _SSD.format('v2.0', 8.005))}, {},
          (_ORIN_BRIEF, _MLPERF.format('v2.0', 'Orin_TRT'), _MLPERF.format('v3.0', 'Orin_TRT'), _SSD_COST)),
    Board('h200', 'H200 SXM: 16896-core Hopper, 528 tensor cores', 4800.0, 3.7, _NOT_FITTED.format('orin'),
          {'fp32': Roof(66.9, 0.789, _NOT_FITTED.format('tx2 fp32')),
           'fp16': Roof(989.0, 0.635, _NOT_FITTED.format('orin int8')),
           'int8': Roof(1979.0, 0.635, _NOT_FITTED.format('orin int8'))}, {},
          ('https://hmc-tech.com/gpu/nvidia-h100-vs-nvidia-h200-sxm-vs-nvidia-gb200 (66.91 FP32 TFLOPS, 3.96 sparse '
           'INT8 POPS)', '4.8 TB/s: https://aiwiki.ai/wiki/nvidia_h200/raw')),
)
BOARDS: Mapping[str, Board] = MappingProxyType({board.name: board for board in _BOARDS})
"""FP32 is that of the CUDA cores; TensorRT may use the faster TF32 on Orin and H200."""


def board_of(name: str) -> Board:
    """Return a board by name.

    Raises:
        ConfigError: the table has no such board.
    """
    if name not in BOARDS:
        raise ConfigError(f'board: got {name!r}{did_you_mean(name, BOARDS)} There are: {", ".join(BOARDS)}.')
    return BOARDS[name]

"""The source of the CUDA kernels, compiled by NVIDIA's compiler for the GPUs it must run on; that needs no GPU."""
import ctypes
import importlib.util
import re
from glob import glob

import pytest

from trt_perception.engines.tensorrt import kernels

# CUDA 13 dropped the first two. C++11 is what the nvcc of JetPack 4.6 (CUDA 10.2) must be able to read.
GPUS = [('sm_62', 'c++11'), ('sm_62', 'c++14'), ('sm_72', 'c++14'), ('sm_87', 'c++17'), ('sm_90', 'c++17')]


def library_file():
    spec = importlib.util.find_spec('nvidia')
    folders = list(spec.submodule_search_locations) if spec else []
    found = [path for folder in folders for path in glob(folder + '/cuda_nvrtc/lib/libnvrtc.so.12')]
    return found[0] if found else None


pytestmark = pytest.mark.skipif(library_file() is None, reason='no NVRTC here: pip install nvidia-cuda-nvrtc-cu12')


def source():
    with open(kernels.SOURCE_FILE, 'rb') as file:
        return file.read()


def compiled(text, gpu, standard):
    """Return (PTX, machine code, log) of a source; the code is None when it does not compile."""
    nvrtc = ctypes.CDLL(library_file())
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b'kernels.cu', 0, None, None) == 0
    options = [('--gpu-architecture=' + gpu).encode(), ('--std=' + standard).encode()]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))

    def product(what):
        size = ctypes.c_size_t()
        assert getattr(nvrtc, 'nvrtcGet{}Size'.format(what))(program, ctypes.byref(size)) == 0
        memory = ctypes.create_string_buffer(size.value)
        assert getattr(nvrtc, 'nvrtcGet' + what)(program, memory) == 0
        return memory.raw
    log = product('ProgramLog').decode()
    ptx, code = (None, None) if status else (product('PTX').decode(), product('CUBIN'))
    assert nvrtc.nvrtcDestroyProgram(ctypes.byref(program)) == 0
    return ptx, code, log


@pytest.mark.parametrize(('gpu', 'standard'), GPUS)
def test_every_kernel_is_compiled_without_a_warning(gpu, standard):
    ptx, code, log = compiled(source(), gpu, standard)
    assert code is not None, log
    assert 'kernels.cu' not in log  # But "architectures prior to sm_75 are deprecated" is said of two.
    assert '.target ' + gpu in ptx
    assert set(re.findall(r'\.visible \.entry (\w+)\(', ptx)) == set(kernels.KERNELS)
    for name in kernels.KERNELS:
        assert '\0.text.{}\0'.format(name).encode() in code
        assert len(code) > 1000


def test_what_is_slow_on_a_tx2_is_not_used():
    ptx, _, _ = compiled(source(), 'sm_62', 'c++11')
    assert '.f64' not in ptx  # 1/32 of the speed.
    assert '.local' not in ptx  # An array that is indexed by a variable moves from registers to memory.
    assert 'ld.global.nc' in ptx  # The read-only cache, for bytes that neighbours share.


@pytest.mark.parametrize(('planted', 'message'), [
    (source().replace(b'return;', b'return 1;', 1), 'return'), (source() + b'}', 'expected a declaration'),
    (source().replace(b'__ldg(source + at)', b'ldg(source + at)'), 'ldg')])
def test_a_planted_error_is_found(planted, message):
    assert planted != source()
    ptx, code, log = compiled(planted, 'sm_62', 'c++11')
    assert ptx is code is None
    assert message in log


def test_a_kernel_that_is_missing_is_found():
    ptx, _, _ = compiled(source().replace(b'void narrow_labels(', b'void narrow_label('), 'sm_62', 'c++11')
    assert set(kernels.KERNELS) - set(re.findall(r'\.visible \.entry (\w+)\(', ptx)) == {'narrow_labels'}

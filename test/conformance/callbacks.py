"""A script: let the real bindings call what we give TensorRT to call. Prints what came of it as JSON.

Most methods of the bindings' own classes call the C++ ones, and these our overrides, as TensorRT would.
"""
import json
import sys
import types

import tensorrt_bindings as trt
from pycuda_double import Gpu, make_pycuda

sys.modules['tensorrt'] = trt
sys.modules.update(make_pycuda(Gpu()))

from trt_perception.engines.tensorrt import callbacks  # noqa: E402
from trt_perception.engines.tensorrt.log import LOG as log  # noqa: E402, N811

result = {'version': trt.__version__}


def refusal(function, *arguments):
    """Return what the empty library has to answer: that it made nothing. A wrong argument is refused otherwise."""
    try:
        function(*arguments)
    except TypeError as error:
        return str(error)


trt.ILogger.log(log, trt.ILogger.Severity.ERROR, 'out of memory')
trt.ILogger.log(log, trt.ILogger.Severity.WARNING, 'slow')
result['log'] = [log.reason(), refusal(trt.Runtime, log), refusal(trt.Builder, log)]

if hasattr(trt, 'IInt8EntropyCalibrator2'):
    nothing = types.SimpleNamespace(num_inputs=0)
    calibrator = callbacks.EntropyCalibrator(None, nothing, None, '', b'table', None)
    result['calibrator'] = trt.IInt8EntropyCalibrator2.get_batch_size(calibrator)    # The others only have a docstring.

if hasattr(trt, 'IProgressMonitor'):
    base = trt.IProgressMonitor
    told = []
    callbacks._TELL_S = 0
    monitor = callbacks.ProgressMonitor(told.append)
    base.phase_start(monitor, 'tactics', '', 2)
    result['monitor'] = [told, base.step_complete(monitor, 'tactics', 0), base.phase_finish(monitor, 'tactics')]

json.dump(result, sys.stdout)

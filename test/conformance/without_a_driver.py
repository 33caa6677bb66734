"""A script: what our code makes of a whole TensorRT that finds no GPU. Prints it as JSON."""
import json
import sys

from pycuda_double import Gpu, make_pycuda

sys.modules.update(make_pycuda(Gpu()))

import tensorrt as trt  # noqa: E402

from trt_perception.core.errors import EngineError  # noqa: E402
from trt_perception.engines import EngineOptions  # noqa: E402
from trt_perception.engines.tensorrt import build, context, file  # noqa: E402
from trt_perception.engines.tensorrt.log import LOG  # noqa: E402

result = {'version': trt.__version__, 'weakly typed': file.weakly_typed(), 'flags': build._creation_flags(),
          'obeying': str(build._obey()), 'types': sorted(str(each) for each in context._DTYPES),
          'plugins': trt.init_libnvinfer_plugins(LOG, ''),
          'registered': sorted({each.name for each in trt.get_plugin_registry().plugin_creator_list})}
try:
    context.ExecutionContext('no file', 'model', EngineOptions(), 'GPU')
except EngineError as error:
    result['runtime'] = str(error)
try:
    trt.Builder(LOG)
except TypeError as error:
    result['builder'] = '{}: {}'.format(error, LOG.reason())
json.dump(result, sys.stdout)

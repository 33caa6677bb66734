"""Who may import whom, and what Python 3.6 and old numpy do not have: read from the source, run or not."""
import ast
import importlib.util
import io
import os
import re
import sys
import sysconfig
import tokenize
from glob import glob

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = 'trt_perception'

# Layer of this package -> the layers it may import. Modules directly in trt_perception/ are the layer ''.
LAYERS = {'core': {'core'}, 'engines': {'core', 'engines'}, 'sources': {'core', 'sources'}, '': {'core', ''},
          'ros': {'core', 'engines', 'sources', '', 'ros'}, 'bench': {'core', 'engines', '', 'bench'},
          'process': {'core', 'engines', '', 'ros', 'process'},
          'cli': {'core', 'engines', 'sources', '', 'ros', 'bench', 'process', 'cli'}}
# Of a file, or of a folder. bench/node measures what goes over ROS.
EXCEPTIONS = {'__main__.py': {'cli'}, 'bench/node/': {'ros'}}

# What only some files may import, by the first part of the module's name: (what, pattern of names, pattern of files).
RESERVED = [
    ('ROS', r'(rcl|rosidl|ros2|rmw|tf2)\w*|ament_\w+|\w+_(msgs|srvs|interfaces)|message_filters|cv_bridge',
     r'ros/.*|bench/node/.*'),
    # bench/tutorial.py is what people write who do not use this package: it must not use it either.
    ('OpenCV', r'cv2|simplejpeg', r'core/(image|compressed|label_carrier|ego_motion)\.py|engines/opencv_engine\.py|'
     r'bench/tutorial\.py|sources/opencv_source\.py'),
    ('GStreamer', r'gi', r'sources/gstreamer_source\.py'),
    ('YAML', r'yaml', r'core/yaml_file\.py|cli/.*|params\.py'),
    ('TensorRT', r'tensorrt\w*', r'engines/tensorrt/(context|file|build|callbacks|log)\.py'),
    ('CUDA', r'pycuda|cuda', r'engines/tensorrt/cuda\.py'),
    ('ONNX Runtime', r'onnxruntime', r'engines/onnxruntime_engine\.py|bench/tutorial\.py'),
    ('OpenVINO', r'openvino', r'engines/openvino_engine\.py'),
    ('TensorFlow Lite', r'tflite_runtime|ai_edge_litert|tensorflow', r'engines/tflite_engine\.py'),
    ('the tools', r'trt_perception_tools|torch\w*|onnx|ray', r'(?!)'),
]

# Beyond the standard library and what is reserved, what a layer may import.
THIRD_PARTY = {'core': {'numpy'}, 'engines': {'numpy'}, 'sources': {'numpy'}, 'bench': {'numpy', 'rosbags'},
               'process': {'numpy', 'rosbags'}, '': {'numpy', 'rosbags', 'lz4'}}

NOT_IN_3_6 = {
    'modules': {'dataclasses', 'contextvars', 'importlib.resources', 'importlib.metadata', 'zoneinfo', 'graphlib',
                'tomllib', '__future__.annotations'},
    'names': {'typing.Protocol', 'typing.Literal', 'typing.Final', 'typing.TypedDict', 'typing.Annotated',
              'typing.TypeAlias', 'typing.Self', 'typing.final', 'typing.get_origin', 'typing.get_args',
              'functools.cached_property', 'functools.cache', 'functools.singledispatchmethod', 'math.prod',
              'math.dist', 'math.comb', 'math.isqrt', 'contextlib.nullcontext', 'contextlib.asynccontextmanager',
              'time.time_ns', 'time.monotonic_ns', 'time.perf_counter_ns', 'asyncio.run', 'shlex.join',
              'queue.SimpleQueue', 'threading.excepthook'},
    'methods': {'removeprefix', 'removesuffix', 'is_relative_to', 'with_stem', 'fromisoformat', 'isascii'},
    'keywords': {'capture_output', 'missing_ok', 'dirs_exist_ok'},
}
NOT_IN_EVERY_NUMPY = {'float', 'bool', 'int', 'object', 'str', 'complex', 'long', 'unicode', 'float_', 'unicode_',
                      'string_', 'bool8', 'NaN', 'Inf', 'infty', 'product', 'cumproduct', 'sometrue', 'alltrue', 'in1d',
                      'trapz', 'trapezoid', 'row_stack', 'msort', 'asfarray', 'concat', 'astype', 'permute_dims',
                      'isdtype', 'matrix_transpose', 'vecdot', 'unique_values', 'exceptions'}


def runtime_files():
    """Return (path within trt_perception/, source) of every runtime file."""
    folder = os.path.join(ROOT, PACKAGE)
    paths = sorted(glob(os.path.join(folder, '**', '*.py'), recursive=True))
    files = []
    for path in paths:
        with open(path, encoding='utf-8') as file:
            files.append((os.path.relpath(path, folder).replace(os.sep, '/'), file.read()))
    return files


FILES = runtime_files()
IDS = [name for name, _ in FILES]


def layer_of(module):
    """Return the layer of a module of this package: its folder, or '' directly in trt_perception/."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else ''


def is_standard(name):
    """Return whether a top-level module belongs to the standard library of the Python that runs this."""
    if name in sys.builtin_module_names:
        return True
    spec = importlib.util.find_spec(name)
    if spec is None:
        return False
    origin = os.path.realpath(spec.origin if spec.origin not in (None, 'frozen', 'built-in') else os.__file__)
    folders = [os.path.realpath(sysconfig.get_path(key)) for key in ('stdlib', 'platstdlib')] + [
        os.path.dirname(os.path.realpath(os.__file__))]
    return any(origin.startswith(folder + os.sep) for folder in folders) and 'site-packages' not in origin


def imports_of(path, source, package=PACKAGE):
    """Return the absolute names of all that a file imports, at any depth, also by importlib with a literal name.

    What is imported for type checkers alone does not count.
    """
    own = [package] + path[:-3].split('/')
    parent = own[:-1]
    if own[-1] == '__init__':
        own = parent
    names = []
    tree = ast.parse(source)
    for_types = {part for node in ast.walk(tree) if isinstance(node, ast.If) and _dotted(node.test) == 'TYPE_CHECKING'
                 for part in ast.walk(node)}
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = parent[:len(parent) - node.level + 1] if node.level else []
            base = base + (node.module.split('.') if node.module else [])
            # `from . import x` may import the module x: name both.
            names += ['.'.join(base + [alias.name]) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            literal = getattr(node.args[0], 'value', getattr(node.args[0], 's', None))
            if called in ('import_module', '__import__') and isinstance(literal, str) and not literal.startswith('.'):
                names.append(literal)
    return names


def import_faults(path, source):
    """Return what a runtime file imports though it may not, as texts."""
    faults = []
    layer = path.split('/')[0] if '/' in path else ''
    allowed = LAYERS[layer].union(*[layers for place, layers in EXCEPTIONS.items()
                                    if path == place or place.endswith('/') and path.startswith(place)])
    for name in imports_of(path, source):
        top = name.split('.')[0]
        if top == PACKAGE:
            if layer_of(name) not in allowed:
                faults.append('{} is of the layer {}'.format(name, layer_of(name)))
            continue
        reserved = [(what, files) for what, names, files in RESERVED if re.match('(?:{})$'.format(names), top)]
        faults += ['{} is {}'.format(name, what) for what, files in reserved
                   if not re.match('(?:{})$'.format(files), path)]
        if layer in THIRD_PARTY and not reserved and top not in THIRD_PARTY[layer] and not is_standard(top):
            faults.append('{} is not in the standard library'.format(name))
    return faults


def _dotted(node):
    """Return 'a.b.c' of an attribute chain, or ''."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return '.'.join([node.id] + parts) if isinstance(node, ast.Name) else ''


def _annotations(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns is not None:
            yield node.returns


def age_faults(path, source):
    """Return what a file uses that Python 3.6 or a numpy between 1.19 and 2 does not have, as texts."""
    try:
        if sys.version_info >= (3, 8):
            tree = ast.parse(source, feature_version=(3, 6))
        compile(source, path, 'exec', dont_inherit=True)
        if sys.version_info < (3, 8):
            tree = ast.parse(source)
    except SyntaxError as error:
        return ['line {}: {}'.format(error.lineno, error.msg)]
    faults = []

    def fault(node, what):
        faults.append('line {}: {}'.format(node.lineno, what))

    modules, names = NOT_IN_3_6['modules'], NOT_IN_3_6['names']
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in modules:
                    fault(node, alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if node.module in modules or '{}.{}'.format(node.module, alias.name) in modules | names:
                    fault(node, '{}.{}'.format(node.module, alias.name))
        elif isinstance(node, ast.Attribute):
            dotted = _dotted(node)
            if dotted in names | modules or node.attr in NOT_IN_3_6['methods']:
                fault(node, dotted or node.attr)
            if dotted.partition('.')[0] in ('np', 'numpy') and dotted.partition('.')[2] in NOT_IN_EVERY_NUMPY:
                fault(node, dotted)
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in NOT_IN_3_6['keywords'] or (
                        keyword.arg == 'text' and _dotted(node.func).startswith('subprocess.')):
                    fault(keyword.value, 'keyword {}'.format(keyword.arg))
                if keyword.arg == 'copy' and _dotted(node.func) in ('np.array', 'np.asarray'):
                    fault(keyword.value, 'np.array(copy=)')
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in (
                'list', 'dict', 'tuple', 'set', 'frozenset', 'type'):
            fault(node, '{}[...]'.format(node.value.id))
        elif type(node).__name__ == 'NamedExpr':  # feature_version lets this and the next pass on some Pythons.
            fault(node, ':=')
        elif getattr(node, 'posonlyargs', None):
            fault(node.posonlyargs[0], 'positional-only arguments')
    for annotation in _annotations(tree):
        for node in ast.walk(annotation):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
                fault(node, 'X | Y in an annotation')
    return faults


# The package as it is.

def test_the_files_are_found():
    assert len(FILES) > 15
    assert {'core/image.py', 'engines/__init__.py', 'engines/onnxruntime_engine.py'} <= set(IDS)
    assert any(name.startswith('ros/') for name in IDS)


@pytest.mark.parametrize(('path', 'source'), FILES, ids=IDS)
def test_a_file_imports_only_what_its_layer_may(path, source):
    assert import_faults(path, source) == []


@pytest.mark.parametrize(('path', 'source'), FILES, ids=IDS)
def test_a_file_uses_only_what_python_3_6_and_every_numpy_have(path, source):
    assert age_faults(path, source) == []


def modules_of(files, package=PACKAGE):
    """Return module -> modules of a package that it imports, at any depth; a package stands for its __init__."""
    def module(path):
        name = '.'.join([package] + path[:-3].split('/'))
        return name[:-len('.__init__')] if name.endswith('.__init__') else name

    names = {module(path) for path, _ in files}
    graph = {}
    for path, source in files:
        # `from .x import y` names x.y: what is imported is the longest part of it that is a module.
        found = {next((name.rsplit('.', cut)[0] for cut in range(name.count('.')) if name.rsplit('.', cut)[0] in names),
                      None) for name in imports_of(path, source, package)}
        graph[module(path)] = found - {None, module(path)}
    return graph


def circle_in(graph):
    """Return modules that import each other in a circle, the first of them again at the end; [] = there are none."""
    done = set()

    def walk(name, way):
        if name in way:
            return way[way.index(name):] + [name]
        if name not in done:
            done.add(name)
            for other in sorted(graph[name]):
                circle = walk(other, way + [name])
                if circle:
                    return circle
        return []

    for name in sorted(graph):
        circle = walk(name, [])
        if circle:
            return circle
    return []


def test_modules_do_not_import_each_other_in_a_circle():
    graph = modules_of(FILES)
    assert 'trt_perception.core.data' in graph['trt_perception.core.image']
    assert circle_in(graph) == []


@pytest.mark.parametrize(('files', 'circle'), [
    ([('a.py', 'from .b import x'), ('b.py', 'def f():\n    from . import a')], ['a', 'b', 'a']),
    ([('a/__init__.py', 'from .b import x'), ('a/b.py', 'from . import x')], ['a', 'a.b', 'a']),
    ([('a/__init__.py', 'from .b import x'), ('a/b.py', 'from .c import x'), ('a/c.py', 'from .. import d'),
      ('d.py', 'from .a.b import y')], ['a.b', 'a.c', 'd', 'a.b']),
    ([('a/__init__.py', 'from .b import x'), ('a/b.py', 'from .c import x'), ('a/c.py', ''),
      ('d.py', 'from .a import x')], [])])
def test_a_planted_circle_is_found(files, circle):
    assert circle_in(modules_of([('__init__.py', '')] + files)) == ['.'.join([PACKAGE, name]) for name in circle]


def test_no_file_is_longer_than_a_reader_takes_in():
    assert {path: source.count('\n') for path, source in FILES if source.count('\n') > 300} == {}


def test_each_library_is_imported_where_the_table_says():
    users = {}
    for path, source in FILES:
        for name in imports_of(path, source):
            users.setdefault(name.split('.')[0], set()).add(path)
    assert users['cv2'] == {'core/image.py', 'core/compressed.py', 'core/label_carrier.py', 'core/ego_motion.py',
                            'engines/opencv_engine.py', 'bench/tutorial.py', 'sources/opencv_source.py'}
    assert users['gi'] == {'sources/gstreamer_source.py'}
    assert users['onnxruntime'] == {'engines/onnxruntime_engine.py', 'bench/tutorial.py'}
    assert users['openvino'] == {'engines/openvino_engine.py'}
    assert users['ai_edge_litert'] == users['tflite_runtime'] == {'engines/tflite_engine.py'}
    assert {path for path in users['yaml'] if path.startswith('core/')} == {'core/yaml_file.py'}
    assert {path.split('/')[0] for path in users['rclpy']} == {'ros', 'bench'}
    assert not any(name in users for name in ('torch', 'onnx'))


def code_lines(source):
    """Return how many lines hold code: not blank ones, comments, or docstrings."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        for statement in getattr(node, 'body', None) or [] if not isinstance(node, (ast.Lambda, ast.IfExp)) else []:
            value = getattr(statement, 'value', None) if isinstance(statement, ast.Expr) else None
            if isinstance(getattr(value, 'value', getattr(value, 's', None)), str):
                docstrings.add(statement.lineno)
    lines = set()
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in nothing and not (token.type == tokenize.STRING and docstrings & set(
                range(token.start[0], token.end[0] + 1))):
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def test_lines_of_code_are_those_that_do_something():
    assert code_lines('"""Text\n\nmore."""\n\nimport os  # why\n\n\ndef f():\n    """Do."""\n    # Why.\n'
                      '    return (os,\n\n            "text\\n")\n') == 4


def test_the_runtime_stays_small():
    # Lines of code alone, or the first to go would be the comments that say why. What a robot runs is counted apart
    # from the bench and from what processes bags.
    lines = {path: code_lines(source) for path, source in FILES}
    apart = {part: sum(count for path, count in lines.items() if path.startswith(part + '/'))
             for part in ('bench', 'process')}
    largest = sorted(lines.items(), key=lambda item: -item[1])[:5]
    assert sum(lines.values()) - sum(apart.values()) < 8650, largest
    assert apart['bench'] < 1130, largest
    assert apart['process'] < 750, largest


def test_no_file_has_a_name_that_says_nothing():
    for path in IDS:
        assert not re.search(r'(^|/)(utils?|helpers?|common|misc|base_\w+|\w*manager)\.py$', path), path


# The checks themselves, on planted faults.

@pytest.mark.parametrize(('path', 'source', 'fault'), [
    ('core/new.py', 'import rclpy', 'rclpy is ROS'),
    ('core/new.py', 'from sensor_msgs.msg import Image', 'sensor_msgs.msg.Image is ROS'),
    ('engines/new.py', 'from builtin_interfaces.msg import Time', 'builtin_interfaces.msg.Time is ROS'),
    ('cli/new.py', 'def f():\n    import rclpy.node', 'rclpy.node is ROS'),
    ('new.py', 'from std_srvs.srv import SetBool', 'std_srvs.srv.SetBool is ROS'),
    ('core/colors.py', 'import cv2', 'cv2 is OpenCV'),
    ('ros/messages.py', 'def f():\n    import cv2', 'cv2 is OpenCV'),
    ('core/settings.py', 'import yaml', 'yaml is YAML'),
    ('engines/onnxruntime_engine.py', 'import tensorrt as trt', 'tensorrt is TensorRT'),
    ('core/engine.py', 'if True:\n    import pycuda.driver', 'pycuda.driver is CUDA'),
    ('engines/tensorrt/engine.py', 'import pycuda.driver', 'pycuda.driver is CUDA'),
    ('engines/__init__.py', 'import onnxruntime', 'onnxruntime is ONNX Runtime'),
    ('engines/__init__.py', "import importlib\nimportlib.import_module('onnxruntime')", 'onnxruntime is ONNX Runtime'),
    ('cli/doctor.py', "x = __import__('tensorrt')", 'tensorrt is TensorRT'),
    ('engines/tflite_engine.py', 'import openvino as ov', 'openvino is OpenVINO'),
    ('engines/openvino_engine.py', 'from ai_edge_litert.interpreter import Interpreter',
     'ai_edge_litert.interpreter.Interpreter is TensorFlow Lite'),
    ('cli/run.py', 'import trt_perception_tools.demo', 'trt_perception_tools.demo is the tools'),
    ('ros/node.py', 'try:\n    import torch\nexcept ImportError:\n    pass', 'torch is the tools'),
    ('engines/new.py', 'import onnx', 'onnx is the tools'),
    ('core/new.py', 'import scipy', 'scipy is not in the standard library'),
    ('core/new.py', 'from ..engines import open_engine', 'trt_perception.engines.open_engine is of the layer engines'),
    ('core/new.py', 'from .. import engines', 'trt_perception.engines is of the layer engines'),
    ('core/__init__.py', 'from ..ros import messages', 'trt_perception.ros.messages is of the layer ros'),
    ('engines/new.py', 'def f():\n    from ..ros.worker import Worker',
     'trt_perception.ros.worker.Worker is of the layer ros'),
    ('engines/new.py', 'import trt_perception.ros.worker', 'trt_perception.ros.worker is of the layer ros'),
    ('core/new.py', 'from ..transport import x', 'trt_perception.transport.x is of the layer '),
    ('ros/new.py', 'from ..cli import main', 'trt_perception.cli.main is of the layer cli'),
    ('bench/new.py', 'import cv2', 'cv2 is OpenCV'),
    ('bench/measure.py', 'from ..ros.messages import header', 'trt_perception.ros.messages.header is of the layer ros'),
    ('bench/new.py', 'def f():\n    import rclpy', 'rclpy is ROS'),
    ('bench/new.py', 'import torch', 'torch is the tools'),
    ('engines/new.py', 'from ..bench import report', 'trt_perception.bench.report is of the layer bench'),
    ('ros/new.py', 'from ..bench.frames import Image', 'trt_perception.bench.frames.Image is of the layer bench'),
    ('transport.py', 'from .ros import messages', 'trt_perception.ros.messages is of the layer ros')])
def test_a_planted_import_is_found(path, source, fault):
    assert fault in import_faults(path, source)


@pytest.mark.parametrize(('path', 'source'), [
    ('core/image.py', 'import cv2\nimport numpy as np\nfrom .data import Frame'),
    ('core/yaml_file.py', 'import os\nimport yaml\nfrom .errors import ConfigError'),
    ('engines/__init__.py', 'from ..core.engine import Engine\nfrom . import onnxruntime_engine'),
    ('engines/tensorrt/context.py', 'import tensorrt\nfrom ..backends import EngineOptions'),
    ('engines/tensorrt/cuda.py', 'import pycuda.driver'),
    ('ros/worker.py', 'import rclpy\nfrom ..engines import open_engine\nfrom . import messages\nfrom .. import core'),
    ('cli/run.py', 'from ..ros import perception_node\nimport yaml'),
    ('cli/bench.py', 'from ..bench import report'),
    ('bench/node/camera.py', 'import rclpy\nfrom ...ros.messages import header\nfrom ..frames import Image'),
    ('transport.py', 'import os\nfrom .core.share import share_path'),
    ('__main__.py', 'from .cli import main')])
def test_an_allowed_import_is_not_a_fault(path, source):
    assert import_faults(path, source) == []


@pytest.mark.parametrize('source', [
    'import dataclasses', 'from dataclasses import dataclass', 'from typing import List, Protocol',
    'from typing import Literal', 'import typing\nx: typing.Final = 1', 'from functools import cached_property',
    'import functools\nx = functools.cached_property', 'import math\nx = math.prod([1])', 'from math import prod',
    'import subprocess\nsubprocess.run([], capture_output=True)', 'import subprocess\nsubprocess.run([], text=True)',
    'from __future__ import annotations', 'import numpy as np\nx = np.float(1)', 'import numpy as np\nx = np.bool',
    'import numpy as np\nx = np.zeros(1, dtype=np.int)', 'import numpy as np\nnp.array([1], copy=False)',
    'import importlib.metadata', 'import time\ntime.time_ns()', "x = 'a'.removeprefix('b')",
    'if (x := 1):\n    pass', 'def f(a, /):\n    pass', 'match 1:\n    case 1:\n        pass',
    'x: list[int] = []', 'def f(x: int | None):\n    pass', 'def f() -> dict[str, int]:\n    pass',
    'from contextlib import nullcontext'])
def test_a_planted_novelty_is_found(source):
    assert age_faults('planted.py', source)


@pytest.mark.skipif(sys.version_info[:2] == (3, 9) or sys.version_info >= (3, 12),
                    reason='the parser of this Python cannot tell these from older syntax')
@pytest.mark.parametrize('source', ["x = 1\ny = f'{x=}'", 'with (open(1) as a, open(2) as b):\n    pass'])
def test_a_planted_novelty_of_the_parser_is_found(source):
    assert age_faults('planted.py', source)


@pytest.mark.parametrize('source', [
    "x = 1\ny = f'{x!r:>{x}}'", 'from typing import NamedTuple\n\n\nclass A(NamedTuple):\n    x: int = 1',
    'import numpy as np\nx = np.float32(1), np.bool_(1), np.intp, np.array([1]).astype(np.uint8, copy=False)',
    'import enum, abc\nx: int', "import subprocess\nsubprocess.run([], universal_newlines=True)\nf = dict(text='a')",
    'async def f():\n    await g()', 'x = {1: 2}[1] | 4', 'from functools import lru_cache'])
def test_what_python_3_6_has_is_not_a_fault(source):
    assert age_faults('planted.py', source) == []


# Data never become code.

def execution_faults(source):
    """Return what a file uses that may run what it reads, with the line."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, 'module', None) or ''] + [alias.name for alias in node.names]
            faults += ['line {}: {}'.format(node.lineno, name) for name in names
                       if name.split('.')[0] in ('pickle', 'cPickle', 'marshal', 'shelve', 'dill', 'joblib')]
        elif isinstance(node, ast.Call):
            name = _dotted(node.func)
            words = {keyword.arg: getattr(keyword.value, 'value', None) for keyword in node.keywords}
            if name in ('eval', 'exec', 'os.system', 'os.popen', 'subprocess.getoutput', 'yaml.load', 'yaml.load_all',
                        'yaml.unsafe_load') or words.get('shell') or words.get('allow_pickle'):
                faults.append('line {}: {}'.format(node.lineno, name))
    return faults


@pytest.mark.parametrize(('path', 'source'), FILES, ids=IDS)
def test_data_never_become_code(path, source):
    assert execution_faults(source) == []


@pytest.mark.parametrize('source', [
    'import pickle', 'from pickle import loads', 'import os\nos.system(x)', 'subprocess.run(x, shell=True)',
    'np.load(x, allow_pickle=True)', 'yaml.load(x)', 'eval(x)'])
def test_a_planted_execution_is_found(source):
    assert len(execution_faults(source)) == 1


def test_what_only_looks_like_an_execution_is_none():
    assert execution_faults('np.load(x, allow_pickle=False)\nyaml.safe_load(x)\nrun(x, shell=False)\nm.eval()') == []

"""ament_python build: installs the package and, as data files, what ROS 2 tools look for under share/."""
import os
import sys
from glob import glob

from setuptools import find_packages, setup

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # Where a build is isolated, it is missing.

from trt_perception.cli import VERBS
from trt_perception.cli.run import nodes

NAME = 'trt_perception'


def shared(folder, pattern='*'):
    """Return the data_files entry of one folder of the source tree."""
    return os.path.join('share', NAME, folder), [p for p in glob(os.path.join(folder, pattern)) if os.path.isfile(p)]


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),
    package_data={NAME + '.engines.tensorrt': ['kernels.cu']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml']),
        shared('config', '*.yaml'),
        shared('config', '*.xml'),
        shared('config', '*.rviz'),
        shared('config', '*.json'),
        shared('config/models'),
        shared('config/labels'),
        shared('config/class_costs'),
        shared('launch', '*.launch.py'),
        shared('models'),
    ],
    python_requires='>=3.6',
    install_requires=['setuptools', 'numpy', 'PyYAML'],
    extras_require={
        # ROS distributions bring OpenCV and rclpy themselves; these are for machines without one.
        'cpu': ['onnxruntime', 'opencv-python-headless', 'simplejpeg'],
        'replay': ['rosbags'],
        # Where there is none of this name, `colcon test` runs unittest, which finds nothing and says OK.
        'test': ['pytest', 'onnx', 'hypothesis'],
    },
    zip_safe=True,
    maintainer='trt_perception maintainers',
    maintainer_email='maintainers@trt-perception.invalid',
    description='Semantic segmentation and dense optical flow for ROS 2, with TensorRT or ONNX Runtime',
    license='Apache-2.0',
    entry_points={'console_scripts': ['trt_perception = trt_perception.cli:main']
                  + [name + '_node = trt_perception.cli.programs:node' for name in nodes()]
                  + [name.replace('-', '_') + ' = trt_perception.cli.programs:verb' for name in VERBS]},
)

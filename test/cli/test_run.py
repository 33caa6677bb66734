import argparse
import os

import networks
import pytest
import rclpy

from trt_perception.cli import main, run
from trt_perception.core.share import share_path
from trt_perception.ros import perception_node


def arguments(*argv):
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    return parser.parse_args(argv)


def test_without_arguments_the_shipped_parameters_are_taken():
    args = arguments()
    assert args.node == 'perception'
    assert run.ros_arguments(args) == ['--ros-args', '--params-file', share_path('config', 'perception.yaml')]


def test_the_planner_has_a_parameter_file_of_its_own():
    assert run.ros_arguments(arguments('planner'))[2] == share_path('config', 'planner.yaml')


def test_every_argument_becomes_what_rclpy_understands(tmp_path):
    files = [networks.write_yaml(tmp_path / name, {}) for name in ('a.yaml', 'b.yaml')]
    args = arguments('segmentation', '--params-file', files[0], '--params-file', files[1], '-p', 'max_frame_age:=0.5',
                     '--param', 'lazy:=false', '--image', '/front/image_raw', '--namespace', '/front/', '-r', 'a:=b',
                     '--remap', 'c:=d', '--use-sim-time')
    assert args.node == 'segmentation'
    assert run.ros_arguments(args) == [
        '--ros-args', '--params-file', files[0], '--params-file', files[1], '-p', 'max_frame_age:=0.5',
        '-p', 'lazy:=false', '-p', 'use_sim_time:=true', '-r', 'a:=b', '-r', 'c:=d', '-r', 'image:=/front/image_raw',
        '-r', '__ns:=/front']


def test_rclpy_reads_them_as_meant(domain, tmp_path):
    file = networks.write_yaml(tmp_path / 'a.yaml', {'/**': {'ros__parameters': {
        'max_frame_age': 0.1, 'optical_flow': {'model': 'mine'}}}})
    args = arguments('--params-file', file, '-p', 'max_frame_age:=0.5', '--image', '/front/image_raw', '--namespace',
                     'front', '--use-sim-time')
    context = rclpy.Context()
    rclpy.init(args=run.ros_arguments(args), context=context, domain_id=domain)
    node = rclpy.create_node('perception', context=context, allow_undeclared_parameters=True,
                             automatically_declare_parameters_from_overrides=True)
    try:
        values = {name: node.get_parameter(name).value
                  for name in ('max_frame_age', 'optical_flow.model', 'use_sim_time')}
        assert values == {'max_frame_age': 0.5, 'optical_flow.model': 'mine', 'use_sim_time': True}
        assert node.resolve_topic_name('image') == '/front/image_raw'
        assert node.resolve_topic_name('segmentation/label_map') == '/front/segmentation/label_map'
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_a_missing_parameter_file_is_named(capsys, tmp_path):
    path = str(tmp_path / 'none.yaml')
    assert main(['run', '--params-file', path]) == 2
    assert capsys.readouterr().err == (
        'trt_perception run: ConfigError: {}: No such file or directory. Give a path that can be read, or written, '
        'with enough space.\n'.format(path))


def test_a_parameter_file_that_is_no_file_is_refused_and_not_waited_for(capsys, tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    for path in (tmp_path, tmp_path / 'pipe'):
        assert main(['run', '--params-file', str(path)]) == 2
        assert capsys.readouterr().err.startswith('trt_perception run: ConfigError: {}: not a regular file. '.format(
            path))


@pytest.mark.parametrize('node', ['perception', 'segmentation', 'optical_flow'])
def test_the_node_that_was_asked_for_is_run(monkeypatch, node):
    calls = []
    monkeypatch.setattr(perception_node, 'run', lambda *given: calls.append(given) or 3)
    assert main(['run', node, '-r', 'a:=b']) == 3
    assert calls == [(node, ['--ros-args', '--params-file', share_path('config', 'perception.yaml'), '-r', 'a:=b'])]


def test_an_unknown_node_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(['run', 'segmentatio'])
    assert "invalid choice: 'segmentatio'" in capsys.readouterr().err


@pytest.mark.parametrize('argv', [['run'], ['replay', share_path('demo', 'street')]])
def test_without_ros_the_commands_say_what_to_install(capsys, monkeypatch, argv):
    import builtins
    import sys
    for name in [n for n in sys.modules if n.split('.')[0] == 'rclpy' or n.startswith('trt_perception.ros.')]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without_rclpy(name, *args, **kwargs):
        if name.split('.')[0] == 'rclpy':
            raise ImportError('No module named rclpy')
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', without_rclpy)
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(
        'trt_perception {}: ConfigError: ROS 2 for Python cannot be imported (No module named rclpy). '.format(argv[0]))

import importlib
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest
import rclpy
from rclpy.node import Node
from rig import PATIENCE_S, ROOT, Program
from sensor_msgs.msg import Image

from trt_perception import transport
from trt_perception.core.share import share_path

PROFILES = {(version, name): share_path('config', 'fastdds{}_{}.xml'.format(version, name))
            for version in (2, 3) for name in ('shm', 'shm_both')}
NAMESPACE = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'


@pytest.fixture
def no_choice(monkeypatch):
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: 2**22)
    for name in transport.PROFILE_VARIABLES + ('ROS_DISTRO',):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('path', sorted(PROFILES.values()))
def test_the_profile_is_xml_with_room_for_images(path):
    root = ElementTree.parse(path).getroot()
    assert root.tag == NAMESPACE + 'profiles'
    transports = {t.findtext(NAMESPACE + 'type'): t for t in root.iter(NAMESPACE + 'transport_descriptor')}
    assert set(transports) == {'SHM', 'UDPv4'}
    assert int(transports['SHM'].findtext(NAMESPACE + 'segment_size')) >= 32 * 2**20
    [participant] = root.iter(NAMESPACE + 'participant')
    assert participant.get('is_default_profile') == 'true'
    assert next(participant.iter(NAMESPACE + 'useBuiltinTransports')).text == 'false'
    used = [each.text for each in next(participant.iter(NAMESPACE + 'userTransports'))]
    assert used == [t.findtext(NAMESPACE + 'transport_id') for t in (transports['SHM'], transports['UDPv4'])]


@pytest.mark.parametrize('version', [2, 3])
def test_images_come_in_over_udp_and_what_ros_itself_needs_does_not_change(version):
    root = ElementTree.parse(PROFILES[version, 'shm']).getroot()
    readers = {reader.get('profile_name'): reader for reader in root.iter(NAMESPACE + 'data_reader')}
    assert readers['over_udp'].get('is_default_profile') == 'true'
    assert [each.tag for each in readers['over_udp'].iter() if each.tag.startswith(NAMESPACE + 'udp')] == [
        NAMESPACE + 'udpv4']
    assert len(readers['ros_discovery_info']) == 0
    assert not list(ElementTree.parse(PROFILES[version, 'shm_both']).getroot().iter(NAMESPACE + 'data_reader'))


@pytest.mark.parametrize('name', ['shm', 'shm_both'])
def test_both_versions_of_fast_dds_get_the_same_profile_in_their_own_words(name):
    of_2, of_3 = (pathlib.Path(PROFILES[version, name]).read_text().split('\n', 2)[2] for version in (2, 3))
    assert of_2.replace('heartbeatPeriod', 'heartbeat_period') == of_3
    assert of_2 != of_3


@pytest.mark.parametrize(('limit', 'name'), [
    (0, 'shm_both'), (212992, 'shm_both'), (2**20, 'shm_both'), (2**21, 'shm'), (2**26, 'shm')])
@pytest.mark.parametrize(('distribution', 'version'), [('foxy', 2), ('jazzy', 2), ('kilted', 3)])
def test_where_the_kernel_buffers_no_image_shared_memory_is_chosen(no_choice, monkeypatch, limit, name, distribution,
                                                                   version):
    monkeypatch.setenv('ROS_DISTRO', distribution)
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: limit)
    assert list(transport.profile_environment().values()) == [PROFILES[version, name]]


def test_the_buffer_limit_is_what_the_kernel_says(monkeypatch, tmp_path):
    monkeypatch.setattr(transport, '_BUFFER_LIMIT', str(tmp_path / 'rmem_max'))
    assert transport.receive_buffer_limit() == 0
    (tmp_path / 'rmem_max').write_text('212992\n')
    assert transport.receive_buffer_limit() == 212992


@pytest.mark.parametrize(('limit', 'image_bytes', 'text'), [
    (212992, 921600, 'The kernel buffers 212992 bytes per socket, less than one image. Run: ' + transport.RAISE_BUFFER),
    (2**22, 25 * 10**6, 'buffers 4194304 bytes per socket, less than one image. Run: ' + transport.RAISE_BUFFER),
    (2**20, 10**5, 'less than the packets of one image need. Run: ' + transport.RAISE_BUFFER),
    (2**25, 25 * 10**6, 'Let the camera publish reliable, or start it from a shell with: export ')])
def test_the_remedy_for_lost_images_fits_their_size(monkeypatch, limit, image_bytes, text):
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: limit)
    assert text in transport.loss_remedy(image_bytes)


OF_VERSION = {2: {'FASTRTPS_DEFAULT_PROFILES_FILE': PROFILES[2, 'shm']},
              3: {'FASTDDS_DEFAULT_PROFILES_FILE': PROFILES[3, 'shm']}}


@pytest.mark.parametrize(('distribution', 'version'), [
    ('foxy', 2), ('humble', 2), ('jazzy', 2), ('kilted', 3), ('rolling', 3)])
def test_variable_and_profile_are_those_that_the_distribution_reads(no_choice, monkeypatch, distribution, version):
    monkeypatch.setenv('ROS_DISTRO', distribution)
    assert transport.profile_environment() == OF_VERSION[version]


@pytest.mark.parametrize(('rmw_version', 'version'), [('8.4.2', 2), ('9.3.3', 3), ('10.0.0', 3), (None, 2)])
def test_with_ros_from_pip_variable_and_profile_follow_the_version(no_choice, monkeypatch, rmw_version, version):
    metadata = importlib.import_module('importlib.metadata')

    def version_of(package):
        assert package == 'ros-rmw-fastrtps-cpp'
        if rmw_version is None:
            raise metadata.PackageNotFoundError(package)
        return rmw_version
    monkeypatch.setattr(metadata, 'version', version_of)
    assert transport.profile_environment() == OF_VERSION[version]


@pytest.mark.parametrize('variable', transport.PROFILE_VARIABLES)
def test_a_choice_of_the_user_stands(no_choice, monkeypatch, variable):
    monkeypatch.setenv(variable, '/etc/mine.xml')
    assert transport.profile_environment() == {}
    transport.use_shared_memory_profile()
    assert {name: os.environ.get(name) for name in transport.PROFILE_VARIABLES} == {
        name: '/etc/mine.xml' if name == variable else None for name in transport.PROFILE_VARIABLES}
    monkeypatch.setenv(variable, '')
    assert list(transport.profile_environment().values()) == [transport.udp_profile()]


@pytest.mark.parametrize(('distribution', 'value', 'chosen'), [
    ('foxy', '1', False), ('humble', '1', False), ('humble', '0', True), ('jazzy', '1', True), ('kilted', '1', True)])
def test_isolation_by_transports_gets_no_profile_beside_them(no_choice, monkeypatch, distribution, value, chosen):
    monkeypatch.setenv('ROS_DISTRO', distribution)
    monkeypatch.setenv('ROS_LOCALHOST_ONLY', value)
    assert bool(transport.profile_environment()) == chosen


def test_a_new_program_finds_one_that_runs_before_that_would_announce_itself_by_default(rig):
    """By default every 3 s: then about half of these took 2 s and more."""
    rig.watch(Image, '/image')
    waits_s = []
    for _ in range(15):
        context = rclpy.Context()
        rclpy.init(args=[], context=context, domain_id=rig.context.get_domain_id())
        newcomer = Node('newcomer', context=context, use_global_arguments=False)
        publisher = newcomer.create_publisher(Image, '/image', 1)
        began_s = time.monotonic()
        rig.until(publisher.get_subscription_count, 'the subscriber')
        waits_s.append(time.monotonic() - began_s)
        newcomer.destroy_node()
        rclpy.shutdown(context=context)
    assert sorted(waits_s)[10] < 1.5, waits_s


SEGMENTS = '''
import os, sys
from trt_perception.transport import use_shared_memory_profile
if sys.argv[1] == 'ours':
    use_shared_memory_profile()
import subprocess
print(subprocess.check_output([sys.executable, '-c', """
import os
print(os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE", os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE")))
"""]).decode().strip())
import rclpy
rclpy.init(args=[])
node = rclpy.create_node('sizes')
publisher = node.create_publisher(__import__('std_msgs.msg').msg.String, 'any', 1)
sizes = [0]
for line in open('/proc/self/maps'):
    parts = line.split()
    if len(parts) > 5 and parts[5].startswith('/dev/shm/fastdds_'):
        first, last = (int(part, 16) for part in parts[0].split('-'))
        sizes.append(last - first)
print(max(sizes))
node.destroy_node()
rclpy.shutdown()
'''


@pytest.mark.parametrize(('choice', 'least', 'most'), [('ours', 32 * 2**20, 2**30), ('none', 0, 2**21)])
def test_fast_dds_takes_the_profile_without_a_word_and_children_see_it(domain, no_choice, choice, least, most):
    output = subprocess.check_output([sys.executable, '-c', SEGMENTS, choice], cwd=ROOT, timeout=PATIENCE_S,
                                     stderr=subprocess.STDOUT)
    variable, size = output.decode().split()
    assert variable == (transport.udp_profile() if choice == 'ours' else 'None')
    assert least < int(size) < most


PUBLISHER = """
import time
from trt_perception.transport import use_shared_memory_profile
use_shared_memory_profile()
import rclpy
rclpy.init(args=[])
node = rclpy.create_node('killed')
node.create_publisher(__import__('std_msgs.msg').msg.String, 'any', 1)
print('started', flush=True)
time.sleep(60)
"""


def test_the_shared_memory_of_a_killed_process_is_freed_and_that_of_a_living_one_is_not(domain, no_choice, monkeypatch,
                                                                                         tmp_path):
    monkeypatch.setattr(transport, '_NEW_S', 0.0)
    with Program(['-c', PUBLISHER], tmp_path / 'output') as program:
        program.until('started')
        with open('/proc/{}/maps'.format(program.process.pid)) as file:
            paths = set(re.findall('/dev/shm/fastdds_[0-9a-f]{16}$', file.read(), re.MULTILINE))
        [path] = [path for path in paths if os.path.getsize(path) > 32 * 2**20]  # LOCALHOST makes rmw add one.
        size = os.path.getsize(path)
        monkeypatch.setattr(transport, '_SEGMENT_LOCKS', path + '_el')
        assert transport.remove_stale_segments() == 0
        program.process.kill()
        program.process.wait()
        assert os.path.exists(path)
        assert transport.remove_stale_segments() == size
        assert not os.path.exists(path)
        assert not os.path.exists(path + '_el')


def test_a_segment_that_has_just_been_made_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(transport, '_SEGMENT_LOCKS', str(tmp_path / '*_el'))
    for name in ('segment', 'segment_el', 'lonely_el'):
        (tmp_path / name).write_bytes(b'1234')
    assert transport.remove_stale_segments() == 0
    os.utime(str(tmp_path / 'segment'), (0, 0))
    assert transport.remove_stale_segments() == 4
    assert [path.name for path in tmp_path.iterdir()] == ['lonely_el']

import importlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from rig import PATIENCE_S, ROOT

from trt_perception import transport
from trt_perception.core.share import share_path

PROFILE = share_path('config', 'fastdds_shm.xml')
BOTH_WAYS = share_path('config', 'fastdds_shm_both.xml')
NAMESPACE = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'


@pytest.fixture
def no_choice(monkeypatch):
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: 2**22)
    for name in transport.PROFILE_VARIABLES + ('ROS_DISTRO',):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('path', [PROFILE, BOTH_WAYS])
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


def test_images_come_in_over_udp_and_what_ros_itself_needs_does_not_change():
    root = ElementTree.parse(PROFILE).getroot()
    readers = {reader.get('profile_name'): reader for reader in root.iter(NAMESPACE + 'data_reader')}
    assert readers['over_udp'].get('is_default_profile') == 'true'
    assert [each.tag for each in readers['over_udp'].iter() if each.tag.startswith(NAMESPACE + 'udp')] == [
        NAMESPACE + 'udpv4']
    assert len(readers['ros_discovery_info']) == 0
    assert not list(ElementTree.parse(BOTH_WAYS).getroot().iter(NAMESPACE + 'data_reader'))


@pytest.mark.parametrize(('limit', 'path'), [
    (0, BOTH_WAYS), (212992, BOTH_WAYS), (2**20, BOTH_WAYS), (2**21, PROFILE), (2**26, PROFILE)])
def test_where_the_kernel_buffers_no_image_shared_memory_is_chosen(no_choice, monkeypatch, limit, path):
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: limit)
    assert list(transport.profile_environment().values()) == [path]


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


@pytest.mark.parametrize(('distribution', 'variable'), [
    ('foxy', 'FASTRTPS_DEFAULT_PROFILES_FILE'), ('humble', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'), ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ('rolling', 'FASTDDS_DEFAULT_PROFILES_FILE')])
def test_the_variable_is_the_one_that_the_distribution_reads(no_choice, monkeypatch, distribution, variable):
    monkeypatch.setenv('ROS_DISTRO', distribution)
    assert transport.profile_environment() == {variable: PROFILE}


@pytest.mark.parametrize(('version', 'variable'), [
    ('8.4.2', 'FASTRTPS_DEFAULT_PROFILES_FILE'), ('9.3.3', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ('10.0.0', 'FASTDDS_DEFAULT_PROFILES_FILE'), (None, 'FASTRTPS_DEFAULT_PROFILES_FILE')])
def test_with_ros_from_pip_the_variable_follows_the_version(no_choice, monkeypatch, version, variable):
    metadata = importlib.import_module('importlib.metadata')

    def version_of(package):
        assert package == 'ros-rmw-fastrtps-cpp'
        if version is None:
            raise metadata.PackageNotFoundError(package)
        return version
    monkeypatch.setattr(metadata, 'version', version_of)
    assert transport.profile_environment() == {variable: PROFILE}


@pytest.mark.parametrize('variable', transport.PROFILE_VARIABLES)
def test_a_choice_of_the_user_stands(no_choice, monkeypatch, variable):
    monkeypatch.setenv(variable, '/etc/mine.xml')
    assert transport.profile_environment() == {}
    transport.use_shared_memory_profile()
    assert {name: os.environ.get(name) for name in transport.PROFILE_VARIABLES} == {
        name: '/etc/mine.xml' if name == variable else None for name in transport.PROFILE_VARIABLES}
    monkeypatch.setenv(variable, '')
    assert list(transport.profile_environment().values()) == [PROFILE]


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
def test_fast_dds_takes_the_profile_and_children_see_it(domain, no_choice, choice, least, most):
    output = subprocess.check_output([sys.executable, '-c', SEGMENTS, choice], cwd=ROOT, timeout=PATIENCE_S)
    variable, size = output.decode().split()
    assert variable == (PROFILE if choice == 'ours' else 'None')
    assert least < int(size) < most

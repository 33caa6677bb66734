import os

import pytest

from trt_perception.core.board import Board, Clock, has_int8_dot_product, read_board

TX2 = {
    'proc/device-tree/model': 'NVIDIA Jetson TX2 Developer Kit\0',
    'var/lib/nvpmodel/status': 'pmode:0003 fmode:quiet\n',
    'etc/nvpmodel.conf': '< PARAM TYPE=FILE NAME=CPU_ONLINE >\n'
                         '< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=3 NAME=MAXP_CORE_ARM >\n'
                         '< PM_CONFIG DEFAULT=0 >\n',
    'sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'schedutil\n',
    'sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq': '345600\n',
    'sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq': '2035200\n',
    'sys/devices/system/cpu/cpu3/cpufreq/scaling_governor': 'schedutil\n',
    'sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq': '1113600\n',
    'sys/devices/system/cpu/cpu3/cpufreq/scaling_max_freq': '2035200\n',
    'sys/devices/system/cpu/cpuidle/current_driver': 'arm\n',
    'sys/class/devfreq/13000000.emc/cur_freq': '1\n',
    'sys/class/devfreq/17000000.gp10b/cur_freq': '114750000\n',
    'sys/class/devfreq/17000000.gp10b/max_freq': '1300500000\n',
    'sys/class/devfreq/17000000.gp10b/governor': 'nvhost_podgov\n',
    'sys/class/thermal/thermal_zone0/type': 'BCPU-therm\n', 'sys/class/thermal/thermal_zone0/temp': '41500\n',
    'sys/class/thermal/thermal_zone2/type': 'GPU-therm\n', 'sys/class/thermal/thermal_zone2/temp': '39000\n',
    'sys/class/thermal/thermal_zone6/type': 'PMIC-Die\n', 'sys/class/thermal/thermal_zone6/temp': '100000\n',
}


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes a file tree and reads the board from it."""
    def read(files):
        for name, content in files.items():
            path = tmp_path / name
            os.makedirs(str(path.parent), exist_ok=True)
            path.write_text(content)
        return read_board(str(tmp_path))
    return read


def test_a_tx2_tells_everything(tree):
    assert tree(TX2) == Board(
        model='NVIDIA Jetson TX2 Developer Kit', power_mode='MAXP_CORE_ARM (3)',
        cpu=Clock(1113.6, 2035.2, 'schedutil'), gpu=Clock(114.75, 1300.5, 'nvhost_podgov'),
        temperatures_c={'BCPU-therm': 41.5, 'GPU-therm': 39.0})


def test_a_machine_that_tells_nothing_is_empty(tree):
    assert tree({}) == Board('', '', None, None, {})


def test_this_machine_can_be_read():
    board = read_board()
    assert all(0 < celsius < 150 for celsius in board.temperatures_c.values())
    assert board.cpu is None or board.cpu.mhz >= 0


def test_before_a_power_mode_was_chosen_it_is_the_default_of_the_configuration(tree):
    assert tree({'etc/nvpmodel.conf': TX2['etc/nvpmodel.conf']}).power_mode == 'MAXN (0)'


def test_a_power_mode_without_a_name_is_its_number(tree):
    assert tree({'var/lib/nvpmodel/status': 'pmode:0012'}).power_mode == '12'


def test_the_name_of_a_power_mode_is_that_of_the_whole_number(tree):
    configuration = '< POWER_MODEL ID=10 NAME=TEN >\n< POWER_MODEL ID=1 NAME=ONE >'
    assert tree({'etc/nvpmodel.conf': configuration, 'var/lib/nvpmodel/status': 'pmode:0001'}).power_mode == 'ONE (1)'


@pytest.mark.parametrize('name', ['57000000.gpu', '17000000.gv11b', '17000000.ga10b', '17000000.gpu'])
def test_the_gpu_of_every_jetson_is_found(tree, name):
    assert tree({'sys/class/devfreq/{}/cur_freq'.format(name): '921600000'}).gpu == Clock(921.6, 0.0, '')


def test_cores_with_different_governors_name_both(tree):
    files = {'sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor'.format(n): name
             for n, name in enumerate(['schedutil', 'performance', 'schedutil'])}
    assert tree(files).cpu == Clock(0.0, 0.0, 'performance+schedutil')


def test_of_two_zones_with_one_name_the_hottest_counts(tree):
    files = {'sys/class/thermal/thermal_zone{}/{}'.format(n, key): value for n, milli in enumerate(['41000', '52000'])
             for key, value in (('type', 'x86_pkg_temp'), ('temp', milli))}
    assert tree(files).temperatures_c == {'x86_pkg_temp': 52.0}


@pytest.mark.parametrize('content', ['', 'N/A', '-256000', '0'])
def test_a_zone_without_a_reading_is_left_out(tree, content):
    files = {'sys/class/thermal/thermal_zone0/type': 'CV0-thermal', 'sys/class/thermal/thermal_zone0/temp': content}
    assert tree(files).temperatures_c == {}


@pytest.mark.parametrize(('text', 'expected'), [
    ('processor : 0\nflags\t\t: fpu avx512f avx512_vnni\n', True), ('flags : fpu avx_vnni\n', True),
    ('flags : fpu avx2 avx512f\n', False), ('Features\t: fp asimd asimddp\n', True),
    ('Features\t: fp asimd crc32\n', False), ('model name : avx512_vnni\n', False), ('', False)])
def test_a_cpu_with_int8_dot_products_is_known_by_its_flags(tmp_path, text, expected):
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc' / 'cpuinfo').write_text(text)
    assert has_int8_dot_product(str(tmp_path)) == expected


def test_a_machine_without_cpuinfo_has_no_int8_dot_products(tmp_path):
    assert not has_int8_dot_product(str(tmp_path))

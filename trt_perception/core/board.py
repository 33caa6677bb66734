"""What the machine reports in /proc and /sys: model, power mode, clocks, temperatures.

Unknown values are empty. Starts no tool and needs no privilege, so that a node may read it once per second.
"""
import glob
import os
import re
from typing import Dict, List, NamedTuple, Optional

# Names of the GPU among the devfreq devices of a Jetson: Nano, TX2, Xavier, Orin; newer kernels say just gpu.
_TEGRA_GPU = re.compile(r'gpu|gm20b|gp10b|gv11b|ga10b')

# The TX2's PMIC has no sensor: the kernel always reports 100 degrees.
_FALSE_ZONES = ('PMIC-Die',)


_INT8_FLAGS = frozenset({'avx512_vnni', 'avx_vnni', 'amx_int8', 'asimddp'})


class Clock(NamedTuple):
    """One clock; 0 or '' where the machine does not report it."""

    mhz: float
    """Present clock; with several cores, that of the fastest."""
    limit_mhz: float
    """Highest clock of the present power mode."""
    governor: str
    """Governor: 'schedutil', 'performance' ...; several are joined by '+'."""


class Board(NamedTuple):
    """State of the machine at one moment."""

    model: str
    """Board, from the device tree, e.g. 'NVIDIA Jetson TX2 Developer Kit'."""
    power_mode: str
    """Mode of nvpmodel, e.g. 'MAXN (0)'."""
    cpu: Optional[Clock]
    gpu: Optional[Clock]
    """Clock of a Jetson's integrated GPU."""
    temperatures_c: Dict[str, float]
    """Thermal zone -> degrees Celsius; the hottest of zones with the same name."""


def read_board(root: str = '/') -> Board:
    """Read the state of this machine, or of a file tree that looks like one."""
    return Board(model=_text(os.path.join(root, 'proc/device-tree/model')).strip('\0'),
                 power_mode=_power_mode(root), cpu=_cpu(root), gpu=_gpu(root), temperatures_c=_temperatures(root))


def has_int8_dot_product(root: str = '/') -> bool:
    """Return whether the CPU multiplies and adds bytes in one instruction (x86: VNNI or AMX; Arm: DotProd)."""
    lines = _text(os.path.join(root, 'proc/cpuinfo')).splitlines()
    flags = next((line for line in lines if re.match(r'(flags|Features)\s*:', line)), '')
    return bool(_INT8_FLAGS.intersection(flags.split()))


def _text(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read().strip()
    except OSError:  # Absent, or a sensor that is switched off.
        return ''


def _number(path: str) -> Optional[float]:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _numbers(paths: List[str]) -> List[float]:
    return [number for number in map(_number, paths) if number is not None]


def _power_mode(root: str) -> str:
    configuration = _text(os.path.join(root, 'etc/nvpmodel.conf'))
    # nvpmodel writes the mode once somebody has chosen one: "pmode:0003 fmode:quiet".
    chosen = re.search(r'pmode:(\d+)', _text(os.path.join(root, 'var/lib/nvpmodel/status'))) \
        or re.search(r'<\s*PM_CONFIG\s+DEFAULT=(\d+)', configuration)
    if not chosen:
        return ''
    number = int(chosen.group(1))
    name = re.search(r'<\s*POWER_MODEL\s+ID={}\s+NAME=(\S+)'.format(number), configuration)
    return '{} ({})'.format(name.group(1), number) if name else str(number)


def _cpu(root: str) -> Optional[Clock]:
    cores = sorted(glob.glob(os.path.join(root, 'sys/devices/system/cpu/cpu[0-9]*/cpufreq')))
    now_khz = _numbers([os.path.join(core, 'scaling_cur_freq') for core in cores])
    limit_khz = _numbers([os.path.join(core, 'scaling_max_freq') for core in cores])
    governors = sorted({_text(os.path.join(core, 'scaling_governor')) for core in cores} - {''})
    if not (now_khz or limit_khz or governors):
        return None
    return Clock(max(now_khz + [0.0]) / 1e3, max(limit_khz + [0.0]) / 1e3, '+'.join(governors))


def _gpu(root: str) -> Optional[Clock]:
    for device in sorted(glob.glob(os.path.join(root, 'sys/class/devfreq/*'))):
        if _TEGRA_GPU.search(os.path.basename(device)):
            now_hz = _number(os.path.join(device, 'cur_freq'))
            if now_hz is not None:
                return Clock(now_hz / 1e6, (_number(os.path.join(device, 'max_freq')) or 0.0) / 1e6,
                             _text(os.path.join(device, 'governor')))
    return None


def _temperatures(root: str) -> Dict[str, float]:
    temperatures: Dict[str, float] = {}
    for zone in sorted(glob.glob(os.path.join(root, 'sys/class/thermal/thermal_zone*'))):
        name, milli = _text(os.path.join(zone, 'type')), _number(os.path.join(zone, 'temp'))
        # Sensors that are switched off read as 0 or -256.
        if name and milli is not None and name not in _FALSE_ZONES and milli > 0:
            temperatures[name] = max(milli / 1e3, temperatures.get(name, 0.0))
    return temperatures

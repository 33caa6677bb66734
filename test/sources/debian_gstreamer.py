"""Runs a command with GStreamer and its Python bindings from Debian or Ubuntu, unpacked in .gstreamer, not installed.

usage: debian_gstreamer.py COMMAND ...; needs apt-get, and a Python of the system's version.
"""
import os
import subprocess
import sys
from glob import glob
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
sys.path.append(str(TEST))

import debian  # noqa: E402

ROOT = TEST.parent / '.gstreamer'
PACKAGES = ('python3-gst-1.0', 'gir1.2-gst-plugins-base-1.0', 'gstreamer1.0-plugins-base', 'gstreamer1.0-plugins-good')


def unpack(folder):
    """Download what is missing and unpack it into a folder."""
    debian.unpack(folder, PACKAGES)
    (folder / 'python').mkdir()
    gi = [path for path in (folder / 'usr/lib/python3/dist-packages/gi', Path('/usr/lib/python3/dist-packages/gi'))
          if (path / '__init__.py').exists()]
    (folder / 'python' / 'gi').symlink_to(gi[0])  # Alone: numpy lies beside it, which must not be found.
    (folder / 'done').touch()


def environment(folder):
    """Return the environment in which Python finds what was unpacked, and what the system has."""
    libraries = glob(str(folder / 'usr/lib/*-linux-gnu'))
    system = glob('/usr/lib/*-linux-gnu')
    values = {'LD_LIBRARY_PATH': libraries, 'PYTHONPATH': [str(folder / 'python')],
              'GI_TYPELIB_PATH': [path + '/girepository-1.0' for path in libraries + system],
              'GST_PLUGIN_PATH': [path + '/gstreamer-1.0' for path in libraries + system]}
    scanners = [path for lib in libraries + system
                for path in glob(lib + '/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner')]
    return dict(os.environ, GST_REGISTRY=str(folder / 'registry.bin'), GST_PLUGIN_SCANNER=scanners[0], **{
        name: os.pathsep.join(paths + [os.environ.get(name, '')]).strip(os.pathsep) for name, paths in values.items()})


def main(command):
    if debian.why_not():
        print('SKIPPED: GStreamer from Debian: ' + debian.why_not())
        return 0
    if not (ROOT / 'done').exists():
        unpack(ROOT)
    return subprocess.call(command, env=environment(ROOT))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

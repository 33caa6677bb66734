"""`process` must work where there is no ROS."""
import subprocess
import sys

from bags import images, write_bag
from test_architecture import RESERVED, ROOT

_PROGRAM = """
import re, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if re.match({names!r} + '$', name.split('.')[0]):
            raise ImportError(name + ' is ROS')
sys.meta_path.insert(0, Blocker())
from trt_perception.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_bag_is_processed_without_importing_ros(tmp_path, settings):
    [names] = [pattern for what, pattern, _ in RESERVED if what == 'ROS']
    done = subprocess.run(
        [sys.executable, '-c', _PROGRAM.format(names='(?:{})'.format(names)), 'process',
         write_bag(tmp_path / 'bag', images(2)), '--output', str(tmp_path / 'out')]
        + [word for name, value in settings.items() for word in ('-p', '{}:={}'.format(name, value))],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.returncode, done.stderr) == (0, '')
    assert '"done": 1' in done.stdout

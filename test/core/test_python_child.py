import subprocess
import sys

from trt_perception.core.python_child import python_command

SHADOWS = ('yaml', 'numpy', 'json', 'runpy', 'argparse', 'trt_perception')


def test_a_child_runs_nothing_from_the_current_folder(tmp_path):
    for name in SHADOWS:
        (tmp_path / (name + '.py')).write_text('open({!r}, "w")\nraise SystemExit(7)'.format(str(tmp_path / 'ran')))
    done = subprocess.run(python_command('trt_perception', '--version'), cwd=str(tmp_path), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b'')
    assert not (tmp_path / 'ran').exists()


def test_a_child_gets_its_arguments_and_its_name(tmp_path):
    code = 'import sys\nif __name__ == "__main__":\n    print(sys.argv[1:], sys.argv[0].endswith("__main__.py"))'
    package = tmp_path / 'some_package'
    package.mkdir()
    (package / '__main__.py').write_text(code)
    (package / '__init__.py').write_text('')
    command = python_command('some_package', 'a', '--b')
    command[2] = 'import sys; sys.path.insert(1, {!r}); '.format(str(tmp_path)) + command[2]
    assert subprocess.check_output(command).decode().split('\n')[0] == "['a', '--b'] True"
    assert command[0] == sys.executable

"""Runs that are killed, that have no space, that want the same folder."""
import errno
import json
import random
import signal
import subprocess
import sys
import time

import pytest
from bags import digests, images, write_bag
from test_architecture import ROOT

from trt_perception.core.errors import ConfigError
from trt_perception.process import Job, output_bag, process

COUNT, KILLS = 600, 3


def arguments(bag, output, settings, *more):
    return [sys.executable, '-m', 'trt_perception', 'process', str(bag), '--output', str(output), '--split', '25'] + [
        word for name, value in settings.items() for word in ('-p', '{}:={}'.format(name, value))] + list(more)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_run_that_is_killed_again_and_again_gives_the_same_bytes(tmp_path, settings, storage):
    bag = write_bag(tmp_path / 'bag', images(COUNT, size=(48, 64)))
    process(Job(bag, str(tmp_path / 'expected' / 'bag'), settings=settings, split=25, storage=storage))
    chance = random.Random(storage)
    output, kills = tmp_path / 'out', 0
    while True:
        before = len(list(output.glob('bag.partial/bag_*.json')))
        with open(str(tmp_path / 'log'), 'wb') as log:
            child = subprocess.Popen(arguments(bag, output, settings, '--storage', storage), cwd=ROOT, stderr=log,
                                     stdout=subprocess.PIPE)
        if kills < KILLS:
            while child.poll() is None and len(list(output.glob('bag.partial/bag_*.json'))) == before:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.2))
        else:
            child.wait()
        child.send_signal(signal.SIGKILL)
        printed = child.communicate()[0]
        if child.returncode != -signal.SIGKILL:
            break
        kills += 1
    assert child.returncode == 0, (tmp_path / 'log').read_text()
    [summary] = json.loads(printed)['bags']
    assert kills == KILLS
    assert summary['resumed'] >= KILLS * 25
    assert digests(output / 'bag') == digests(tmp_path / 'expected' / 'bag')


@pytest.mark.parametrize('step', ['metadata.yaml', 'unlink', 'rename'])
def test_a_run_that_ends_while_the_bag_is_finished_loses_nothing(tmp_path, settings, monkeypatch, step):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    bag = write_bag(tmp_path / 'bag', images(5))
    process(Job(bag, str(tmp_path / 'expected' / 'out'), settings=settings, split=2))
    job = Job(bag, str(tmp_path / 'out'), settings=settings, split=2)
    with monkeypatch.context() as patch:
        if step == 'metadata.yaml':
            right = output_bag.write_whole
            patch.setattr(output_bag, 'write_whole', lambda path, text: (
                killed() if path.name == step else right(path, text)))
        elif step == 'unlink':
            right = type(tmp_path).unlink
            patch.setattr(type(tmp_path), 'unlink', lambda self: killed() if self.name == 'out_1.json' else right(self))
        else:
            patch.setattr(output_bag.os, 'rename', killed)
        with pytest.raises(Killed):
            process(job)
    assert not (tmp_path / 'out').exists()
    summary = process(job)
    assert summary.images == 5
    assert digests(tmp_path / 'out') == digests(tmp_path / 'expected' / 'out')


def test_a_full_disk_is_named_and_the_next_run_goes_on(tmp_path, settings, monkeypatch):
    bag = write_bag(tmp_path / 'bag', images(9))
    job = Job(bag, str(tmp_path / 'out'), settings=settings, split=4)
    with monkeypatch.context() as patch:
        right, written = output_bag.Writer.write, []

        def full(self, connection, time_ns, data):
            written.append(data)
            if len(written) > 35:
                raise OSError(errno.ENOSPC, 'No space left on device')
            right(self, connection, time_ns, data)

        patch.setattr(output_bag.Writer, 'write', full)
        with pytest.raises(ConfigError) as caught:
            process(job)
    assert str(caught.value) == (
        '--output {}: No space left on device. Give a folder that can be written, with enough space. To go on where '
        'it stopped, repeat the command.'.format(tmp_path / 'out'))
    summary = process(job)
    assert (summary.resumed, summary.images) == (4, 9)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, settings):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='--output {}/file/out: Not a directory. Give a folder'.format(tmp_path)):
        process(Job(write_bag(tmp_path / 'bag', images(2)), str(tmp_path / 'file' / 'out'), settings=settings))


def test_two_runs_do_not_write_the_same_output(tmp_path, settings):
    bag = write_bag(tmp_path / 'bag', images(4))
    job = Job(bag, str(tmp_path / 'out'), settings=settings, split=1)
    refused = []

    def meanwhile(progress):
        if progress.done == 2:
            with pytest.raises(ConfigError, match='out: another run writes it now. Wait for that, or'):
                process(job)
            refused.append(True)

    assert process(job, meanwhile).images == 4
    assert refused == [True]


def test_what_another_job_began_is_refused_and_kept(tmp_path, settings):
    bag = write_bag(tmp_path / 'bag', images(4))
    job = Job(bag, str(tmp_path / 'out'), settings=settings, split=1)

    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(job, stop)
    with pytest.raises(ConfigError, match='out.partial: it was begun by another job: '):
        process(job._replace(every=2))
    assert process(job).resumed == 3


def test_a_damaged_journal_is_named(tmp_path, settings):
    bag = write_bag(tmp_path / 'bag', images(4))
    job = Job(bag, str(tmp_path / 'out'), settings=settings)
    (tmp_path / 'out.partial').mkdir()
    (tmp_path / 'out.partial' / 'job.json').write_text('{')
    with pytest.raises(ConfigError, match='out.partial/job.json: .* Remove the folder.'):
        process(job)

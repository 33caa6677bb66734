import os
import signal
import time

import cv2
import numpy as np
import pytest
from rig import DEEP, Program, header, image, random_image, trt_perception
from sensor_msgs.msg import CompressedImage, Image, Imu

from trt_perception.cli import main

TOPIC = '/camera/image_raw'
START_NS = 1_700_000_000 * 10**9 + 1
PERIOD_NS = 10**9 // 30


def stamp_ns(number):
    return START_NS + number * PERIOD_NS


def raw(number):
    return image(random_image(number), stamp_ns(number), 'rgb8', padding=3)


def jpeg(number):
    data = cv2.imencode('.jpg', random_image(number))[1].reshape(-1)
    return CompressedImage(header=header(stamp_ns(number)), format='jpeg', data=data.tobytes())


class Camera:
    """Publishes made-up frames, one every 20 ms, while the rig spins."""

    def __init__(self, rig, kind=Image, topic=TOPIC, make=raw):
        self.sent = 0
        self.sent_at_s = []
        self._make = make
        self._publisher = rig.outside.create_publisher(kind, topic, DEEP)
        self._timer = rig.outside.create_timer(0.02, self._publish)

    def _publish(self):
        if self._publisher.get_subscription_count():
            self.sent_at_s.append(time.monotonic())
            self._publisher.publish(self._make(self.sent))
            self.sent += 1


def numbers_of(folder):
    """Return which frames were saved, by the stamps in the names."""
    names = sorted(os.listdir(str(folder)))
    assert all(len(name) == len('1700000000000000001.png') for name in names)
    return [round((int(name[:-len('.png')]) - START_NS) / PERIOD_NS) for name in names]


def ended(rig, program):
    rig.until(lambda: program.process.poll() is not None, 'the end of the program')
    return program.process.returncode


@pytest.fixture
def start(tmp_path):
    """Start the command and kill it after the test."""
    programs = []

    def run(*arguments):
        programs.append(Program(trt_perception('calibrate-capture', '--output', tmp_path / 'saved', *arguments),
                                tmp_path / 'output'))
        return programs[-1]
    yield run
    for program in programs:
        program.__exit__()


def test_raw_images_are_saved_without_loss_under_their_stamps(rig, tmp_path, start):
    Camera(rig)
    program = start('--topic', TOPIC, '--count', '5', '--every', '0')
    assert ended(rig, program) == 0
    assert program.output == '{}: 5 of 5 images saved\n'.format(tmp_path / 'saved')
    numbers = numbers_of(tmp_path / 'saved')
    assert len(set(numbers)) == 5
    for number in numbers:
        saved = cv2.imread(str(tmp_path / 'saved' / '{:019d}.png'.format(stamp_ns(number))))
        np.testing.assert_array_equal(saved[..., ::-1], random_image(number))


def test_compressed_images_are_saved_as_they_decode(rig, tmp_path, start):
    Camera(rig, CompressedImage, TOPIC + '/compressed', jpeg)
    assert ended(rig, start('--topic', TOPIC + '/compressed', '--count', '2', '--every', '0')) == 0
    for number in numbers_of(tmp_path / 'saved'):
        saved = cv2.imread(str(tmp_path / 'saved' / '{:019d}.png'.format(stamp_ns(number))))
        np.testing.assert_array_equal(saved, cv2.imdecode(np.frombuffer(jpeg(number).data, np.uint8),
                                                          cv2.IMREAD_COLOR))


def test_between_two_images_there_is_the_time_asked_for(rig, tmp_path, start):
    camera = Camera(rig)
    program = start('--topic', TOPIC, '--count', '4', '--every', '0.5')
    assert ended(rig, program) == 0
    numbers = numbers_of(tmp_path / 'saved')
    assert time.monotonic() - camera.sent_at_s[numbers[0]] > 3 * 0.5
    assert len(numbers) == 4
    assert min(np.diff(numbers)) >= 2


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_what_was_saved_stays(rig, tmp_path, start, number):
    Camera(rig)
    program = start('--topic', TOPIC, '--count', '100000', '--every', '0')
    rig.until(lambda: (tmp_path / 'saved').is_dir() and len(os.listdir(str(tmp_path / 'saved'))) > 3, 'images')
    assert program.end(number) == 0
    numbers = numbers_of(tmp_path / 'saved')
    assert program.output == '{}: {} of 100000 images saved\n'.format(tmp_path / 'saved', len(numbers))
    for path in (tmp_path / 'saved').iterdir():
        assert cv2.imread(str(path)).shape == (48, 64, 3)


def test_a_broken_image_is_left_out(rig, tmp_path, start):
    Camera(rig, make=lambda number: image(random_image(number), stamp_ns(number), 'rgb8' if number % 2 else 'yuv999'))
    program = start('--topic', TOPIC, '--count', '3', '--every', '0')
    assert ended(rig, program) == 0
    assert all(number % 2 for number in numbers_of(tmp_path / 'saved'))
    assert "got 'yuv999'" in program.output


def test_a_topic_that_nobody_publishes_is_refused_with_those_that_are_there(rig, tmp_path, start):
    Camera(rig)
    rig.outside.create_publisher(Imu, '/imu', 1)
    program = start('--topic', '/imu', '--wait', '2')
    assert ended(rig, program) == 2
    assert ('ConfigError: --topic /imu: no publisher of images on it; there are /camera/image_raw. Start the camera, '
            'or give its topic.') in program.output
    assert 'Traceback' not in program.output


def refused(capsys, *arguments):
    assert main(['calibrate-capture', '--topic', TOPIC, *arguments]) == 2
    return capsys.readouterr().err


def test_a_folder_with_files_is_refused_unless_told(rig, tmp_path, start, capsys):
    folder = tmp_path / 'saved'
    folder.mkdir()
    (folder / 'mine.txt').write_text('mine')
    assert '--output {}: it is not empty, it has 1 files. Give another folder, or --add.'.format(folder) \
        in refused(capsys, '--output', str(folder))
    Camera(rig)
    assert ended(rig, start('--topic', TOPIC, '--count', '1', '--add')) == 0
    assert len(os.listdir(str(folder))) == 2


@pytest.mark.parametrize(('arguments', 'text'), [
    (['--count', '0'], '--count: got 0, expected at least 1.'),
    (['--every', '-1'], '--every: got -1, expected 0 or more.'),
    (['--every', 'nan'], '--every: got nan, expected 0 or more.')])
def test_numbers_that_make_no_sense_are_refused(capsys, tmp_path, arguments, text):
    assert text in refused(capsys, '--output', str(tmp_path / 'saved'), *arguments)

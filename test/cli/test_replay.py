import re
import signal
import time

import cv2
import numpy as np
import pytest
from rig import PATIENCE_S, Program, pixels_of, random_image, stamp_of, trt_perception
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from trt_perception import bag
from trt_perception.bag import Bag
from trt_perception.cli import main
from trt_perception.core.errors import ConfigError

START_NS = 1_700_000_000 * 10**9 + 5
PERIOD_NS = 50 * 10**6
COUNT = 11
RAW, COMPRESSED, INFO, CHATTER = '/cam/image_raw', '/cam/image_raw/compressed', '/cam/camera_info', '/chatter'


def recorded(store):
    """Yield topic, message and time of recording of everything in a bag, in order."""
    header, time, image, compressed, info, text = (store.types[name] for name in (
        'std_msgs/msg/Header', 'builtin_interfaces/msg/Time', 'sensor_msgs/msg/Image',
        'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/CameraInfo', 'std_msgs/msg/String'))
    roi = store.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    for number in range(COUNT):
        stamp_ns = START_NS + number * PERIOD_NS - 7  # Taken before they were recorded.
        fields = {'seq': number} if 'seq' in header.__dataclass_fields__ else {}
        at = header(stamp=time(*divmod(stamp_ns, 10**9)), frame_id='frame {}'.format(number), **fields)
        pixels = random_image(number, (6, 8), 2)
        png = cv2.imencode('.png', pixels[..., ::-1])[1].reshape(-1)
        k, p = np.arange(9.0) + number, np.arange(12.0) + number
        names = ('D', 'K', 'R', 'P') if fields else ('d', 'k', 'r', 'p')
        matrices = dict(zip(names, (np.arange(5.0), k, np.eye(3).reshape(-1), p)))
        yield RAW, image(at, 6, 8, 'rgb8', 0, 24, pixels.reshape(-1)), START_NS + number * PERIOD_NS
        yield COMPRESSED, compressed(at, 'rgb8; png compressed bgr8', png), START_NS + number * PERIOD_NS + 1
        yield INFO, info(header=at, height=6, width=8, distortion_model='plumb_bob', binning_x=0, binning_y=0, roi=roi,
                         **matrices), START_NS + number * PERIOD_NS + 2
        yield CHATTER, text('hello'), START_NS + number * PERIOD_NS + 3


def write_bag(path, topics=(RAW, COMPRESSED, INFO, CHATTER), storage=StoragePlugin.MCAP):
    """Write a ROS 2 bag of these topics and return its path as text."""
    store = get_typestore(Stores.ROS2_FOXY)
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connections = {}
        for topic, message, time_ns in recorded(store):
            if topic in topics:
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=store)
                writer.write(connections[topic], time_ns, store.serialize_cdr(message, message.__msgtype__))
    return str(path)


def write_bag1(path):
    """Write a ROS 1 bag and return its path as text."""
    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(path) as writer:
        connections = {}
        for topic, message, time_ns in recorded(store):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=store)
            writer.write(connections[topic], time_ns, store.serialize_ros1(message, message.__msgtype__))
    return str(path)


def stamps(times=1):
    return times * [START_NS + number * PERIOD_NS - 7 for number in range(COUNT)]


def frame_ids(times=1):
    return times * ['frame {}'.format(number) for number in range(COUNT)]


def clock_ns(message):
    return message.clock.sec * 10**9 + message.clock.nanosec


class Played:
    """What a rig hears of a replay, with the time at which the images came (s)."""

    def __init__(self, rig, **topics):
        self.rig = rig
        self.messages = {name: rig.watch(kind, topic) for name, (kind, topic) in topics.items()}

    def play(self, tmp_path, *arguments, wait_s=20):
        with Program(trt_perception('replay', *arguments, '--wait', str(wait_s)), tmp_path / 'output') as program:
            self.rig.until(lambda: program.process.poll() is not None, 'the end of the bag')
            seen = -1
            while seen != sum(map(len, self.messages.values())):  # What is on its way.
                seen = sum(map(len, self.messages.values()))
                self.rig.work(0.2)
            assert program.process.returncode == 0, program.output
            return program.output


def test_images_and_calibration_come_as_they_were_recorded_with_a_clock(rig, tmp_path):
    bag = write_bag(tmp_path / 'bag')
    played = Played(rig, raw=(Image, RAW), compressed=(CompressedImage, COMPRESSED), info=(CameraInfo, INFO),
                    chatter=(String, CHATTER), clock=(Clock, '/clock'))
    output = played.play(tmp_path, bag)
    assert output.splitlines() == [bag + ': 0.5 s'] + ['  {} ({})'.format(topic, kind) for topic, kind in (
        (RAW, 'sensor_msgs/msg/Image'), (COMPRESSED, 'sensor_msgs/msg/CompressedImage'),
        (INFO, 'sensor_msgs/msg/CameraInfo'))]
    messages = played.messages
    for name in ('raw', 'compressed'):
        assert [stamp_of(m) for m in messages[name]] == stamps()
        assert [m.header.frame_id for m in messages[name]] == frame_ids()
    assert messages['chatter'] == []
    for number in range(COUNT):
        pixels = random_image(number, (6, 8), 2)
        raw, compressed = messages['raw'][number], messages['compressed'][number]
        assert (raw.encoding, raw.step) == ('rgb8', 24)
        np.testing.assert_array_equal(pixels_of(raw), pixels)
        assert bytes(compressed.data) == cv2.imencode('.png', pixels[..., ::-1])[1].tobytes()
    # Only the images are waited for: of the rest the very first may come before the subscription is known.
    missed = COUNT - len(messages['info'])
    assert missed in (0, 1, 2)
    assert [stamp_of(m) for m in messages['info']] == stamps()[missed:]
    for number, info in enumerate(messages['info'], start=missed):
        assert info.header.frame_id == 'frame {}'.format(number)
        assert info.k.tolist() == (np.arange(9.0) + number).tolist()
    times = [clock_ns(m) for m in messages['clock']]
    assert START_NS <= times[0] <= START_NS + 2 * PERIOD_NS
    assert times == sorted(times)
    assert times[-1] > START_NS + (COUNT - 1) * PERIOD_NS + 10**9  # It runs on, so that timers fire once more.
    assert np.median(np.diff(times)) <= 10 * 10**6
    assert max(np.diff(times)) <= 50 * 10**6
    assert len(times) > 100


def test_compressed_images_come_raw_at_another_rate_and_under_another_name(rig, tmp_path):
    bag = write_bag(tmp_path / 'bag')
    played = Played(rig, raw=(Image, '/eye/image'), original=(CompressedImage, COMPRESSED), other=(Image, RAW),
                    info=(CameraInfo, INFO), clock=(Clock, '/clock'))
    output = played.play(tmp_path, bag, '--decompress', '--topics', COMPRESSED, '--remap', RAW + ':=/eye/image',
                         '--no-clock', '--rate', '10')
    assert output.splitlines()[1:] == ['  {} (sensor_msgs/msg/CompressedImage)'.format(COMPRESSED)]
    messages = played.messages
    assert [len(messages[name]) for name in ('original', 'other', 'info', 'clock')] == [0, 0, 0, 0]
    assert [stamp_of(m) for m in messages['raw']] == stamps()
    assert [m.header.frame_id for m in messages['raw']] == frame_ids()
    for number, message in enumerate(messages['raw']):
        assert message.encoding == 'bgr8'
        np.testing.assert_array_equal(pixels_of(message)[..., ::-1], random_image(number, (6, 8), 2))


@pytest.mark.parametrize(('rate', 'least_s', 'most_s'), [('0.5', 0.95, 5.0), ('20', 0.0, 0.45)])
def test_the_pace_is_that_of_the_recording_times_the_rate(rig, tmp_path, rate, least_s, most_s):
    bag = write_bag(tmp_path / 'bag', (RAW,))
    arrivals_s = []
    rig.outside.create_subscription(Image, RAW, lambda _: arrivals_s.append(time.monotonic()), 20)
    Played(rig).play(tmp_path, bag, '--rate', rate)
    assert len(arrivals_s) == COUNT
    assert least_s < arrivals_s[-1] - arrivals_s[0] < most_s


def test_a_topic_without_subscribers_is_not_waited_for_when_another_has_some(rig, tmp_path):
    bag = write_bag(tmp_path / 'bag', (RAW, COMPRESSED))
    played = Played(rig, raw=(Image, RAW))
    output = played.play(tmp_path, bag, '--rate', '20', wait_s=10 * PATIENCE_S)
    assert 'Nobody has subscribed to {}.'.format(COMPRESSED) in output
    assert [stamp_of(m) for m in played.messages['raw']] == stamps()


def test_a_bag_without_any_subscriber_is_played_after_the_wait(domain, tmp_path):
    bag = write_bag(tmp_path / 'bag', (RAW,))
    with Program(trt_perception('replay', bag, '--rate', '20', '--wait', '2.5'), tmp_path / 'output') as program:
        assert program.end(None) == 0
        assert 'Waiting for a subscriber to {}, 2.5 s at most.'.format(RAW) in program.output
        assert 'Nobody has subscribed to {}.'.format(RAW) in program.output


def test_a_loop_goes_on_until_ctrl_c(rig, tmp_path):
    bag = write_bag(tmp_path / 'bag', (RAW,))
    played = Played(rig, raw=(Image, RAW), clock=(Clock, '/clock'))
    arguments = trt_perception('replay', bag, '--loop', '--rate', '4', '--wait', '20')
    with Program(arguments, tmp_path / 'output') as program:
        rig.until(lambda: len(played.messages['raw']) > 2 * COUNT + 2, 'the third pass')
        assert program.end(signal.SIGINT) == 0
        assert 'Traceback' not in program.output
    rig.work(0.1)
    received = [stamp_of(m) for m in played.messages['raw']]
    assert received == stamps(1 + len(received) // COUNT)[:len(received)]
    times = [clock_ns(m) for m in played.messages['clock']]
    back = [number for number, step in enumerate(np.diff(times), start=1) if step < 0]
    assert len(back) >= 2
    assert [times[number] for number in back] == len(back) * [START_NS]


# rclpy of Foxy handles no SIGTERM.
AS_IN_FOXY = """
import functools, sys
import rclpy
from rclpy.signals import SignalHandlerOptions
rclpy.init = functools.partial(rclpy.init, signal_handler_options=SignalHandlerOptions.NO)
from trt_perception.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(('program', 'name'), [
    (['-m', 'trt_perception'], 'SIGINT'), (['-m', 'trt_perception'], 'SIGTERM'), (['-c', AS_IN_FOXY], 'SIGTERM')],
    ids=['SIGINT', 'SIGTERM', 'SIGTERM in Foxy'])
def test_a_signal_ends_the_replay_cleanly(rig, tmp_path, program, name):
    bag = write_bag(tmp_path / 'bag', (RAW,))
    played = Played(rig, raw=(Image, RAW))
    with Program(program + ['replay', bag, '--rate', '0.5', '--wait', '20'], tmp_path / 'output') as program:
        rig.until(lambda: played.messages['raw'], 'the first image')
        assert program.end(getattr(signal, name)) == 0
        assert 'Traceback' not in program.output
    assert len(played.messages['raw']) < COUNT


def test_an_image_that_cannot_be_decompressed_is_left_out(rig, tmp_path):
    store = get_typestore(Stores.ROS2_FOXY)
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(COMPRESSED, 'sensor_msgs/msg/CompressedImage', typestore=store)
        for number, (_, message, time_ns) in enumerate(m for m in recorded(store) if m[0] == COMPRESSED):
            if number == 3:
                message.data = message.data[:20]
            writer.write(connection, time_ns, store.serialize_cdr(message, message.__msgtype__))
    played = Played(rig, raw=(Image, RAW))
    output = played.play(tmp_path, str(tmp_path / 'bag'), '--decompress', '--rate', '5')
    assert [stamp_of(m) for m in played.messages['raw']] == stamps()[:3] + stamps()[4:]
    assert COMPRESSED + ": format 'rgb8; png compressed bgr8': PNG: got 20 bytes" in output


# The bag itself

@pytest.mark.parametrize('write', [
    lambda path: write_bag(path / 'bag'), lambda path: write_bag(path / 'bag', storage=StoragePlugin.SQLITE3),
    lambda path: write_bag1(path / 'bag.bag'), lambda path: write_bag(path / 'bag') + '/bag.mcap'],
    ids=['mcap', 'sqlite3', 'ros1', 'one file'])
def test_every_kind_of_bag_gives_the_same_messages(tmp_path, write):
    bag = Bag(write(tmp_path))
    assert bag.types == {RAW: 'sensor_msgs/msg/Image', COMPRESSED: 'sensor_msgs/msg/CompressedImage',
                         INFO: 'sensor_msgs/msg/CameraInfo'}
    assert bag.start_ns == START_NS
    assert bag.duration_ns == pytest.approx((COUNT - 1) * PERIOD_NS, abs=4)
    store = get_typestore(Stores.ROS2_FOXY)
    expected = [(topic, time_ns, bytes(store.serialize_cdr(message, message.__msgtype__)))
                for topic, message, time_ns in recorded(store) if topic != CHATTER]
    given = [(m.topic, m.time_ns, m.data) for m in bag.messages()]
    assert [each[:2] for each in given] == [each[:2] for each in expected]
    for (name, _, ours), (_, _, theirs) in zip(given, expected):
        kind = bag.types[name]
        ours, theirs = (store.deserialize_cdr(data, kind) for data in (ours, theirs))
        assert ours.header == theirs.header
        if kind.endswith('Image'):
            assert bytes(ours.data) == bytes(theirs.data)
        else:
            assert ours.k.tolist() == theirs.k.tolist()
    assert len(list(bag.messages())) == 3 * COUNT  # Again, for a loop.


def test_only_the_topics_that_were_asked_for_are_read(tmp_path):
    bag = Bag(write_bag(tmp_path / 'bag'), [COMPRESSED, '/no/such'])
    assert bag.types == {COMPRESSED: 'sensor_msgs/msg/CompressedImage'}
    assert {m.topic for m in bag.messages()} == {COMPRESSED}


def fails(capsys, *argv):
    """Run the command, which must refuse with status 2, and return its one line."""
    assert main(['replay'] + list(argv)) == 2
    output = capsys.readouterr()
    assert output.out == ''
    [line] = output.err.splitlines()
    assert line.startswith('trt_perception replay: ConfigError: ')
    return line


def test_a_missing_bag_is_named(capsys, tmp_path):
    path = str(tmp_path / 'none')
    assert 'bag {}: no such file or folder. Give the folder of a ROS 2 bag'.format(path) in fails(capsys, path)


def test_a_folder_that_is_no_bag_is_named(capsys, tmp_path):
    assert 'bag {}: '.format(tmp_path) in fails(capsys, str(tmp_path))


def test_a_bag_without_images_tells_what_it_has(capsys, tmp_path):
    path = write_bag(tmp_path / 'bag', (INFO, CHATTER))
    line = fails(capsys, path)
    assert 'no image topic; it has {!r} (sensor_msgs/msg/CameraInfo), {!r} (std_msgs'.format(INFO, CHATTER) in line


def test_topics_that_are_not_in_the_bag_are_named_with_those_that_are(capsys, tmp_path):
    path = write_bag(tmp_path / 'bag', (RAW, CHATTER))
    line = fails(capsys, path, '--topics', '/left', '/right')
    assert 'no image topic among /left, /right; it has {!r} (sensor_msgs/msg/Image), '.format(RAW) in line


@pytest.mark.parametrize('damage', [
    lambda data: b'junk', lambda data: b'', lambda data: data[:len(data) // 2],
    lambda data: data.replace(b'sensor_msgs/msg/Image', 21 * b'\xff')], ids=['junk', 'empty', 'half', 'no text'])
def test_a_damaged_bag_is_refused_with_one_line(capsys, tmp_path, damage):
    path = write_bag(tmp_path / 'bag')
    file = tmp_path / 'bag' / 'bag.mcap'
    file.write_bytes(damage(file.read_bytes()))
    for each in (path, str(file)):
        assert 'bag {}: '.format(each) in fails(capsys, each)


def spoil_chunk(file):
    """Write another checksum into the first chunk of an mcap file."""
    data = bytearray(file.read_bytes())
    place = 8
    while data[place] != 6:  # A record: its kind, its length, its content. A chunk is of kind 6.
        place += 9 + int.from_bytes(data[place + 1:place + 9], 'little')
    checksum = place + 9 + 24  # After the times of its first and last message and its size.
    data[checksum:checksum + 4] = b'spoi'
    file.write_bytes(bytes(data))


def test_damage_in_the_middle_of_a_bag_ends_the_replay_with_one_line(domain, tmp_path):
    path = write_bag(tmp_path / 'bag')
    spoil_chunk(tmp_path / 'bag' / 'bag.mcap')
    with pytest.raises(ConfigError, match='bag {}: Chunk checksum mismatch. It was cut '.format(path)):
        list(Bag(path).messages())
    with Program(trt_perception('replay', path, '--rate', '20'), tmp_path / 'output') as program:
        assert program.end(None) == 2
        assert program.output.splitlines()[-1].startswith('trt_perception replay: ConfigError: bag {}: '.format(path))
        assert 'Traceback' not in program.output


@pytest.mark.parametrize('rate', ['0', '-1', 'nan'])
def test_a_rate_must_be_above_0(capsys, tmp_path, rate):
    line = fails(capsys, write_bag(tmp_path / 'bag'), '--rate', rate)
    assert line.endswith('--rate: got {}, expected a number above 0.'.format(rate))


@pytest.mark.parametrize('rule', ['/a', '/a:=', ':=/b', '='])
def test_a_remap_rule_has_two_sides(capsys, tmp_path, rule):
    line = fails(capsys, write_bag(tmp_path / 'bag'), '--remap', rule)
    assert line.endswith('--remap {}: expected FROM:=TO.'.format(rule))


def test_a_name_that_ros_does_not_allow_is_refused_without_a_traceback(domain, tmp_path):
    path = write_bag(tmp_path / 'bag')
    with Program(trt_perception('replay', path, '--remap', RAW + ':=/a b'), tmp_path / 'output') as program:
        assert program.end(None) == 2
        assert "ConfigError: ROS arguments: failed to initialize rcl: Couldn't parse remap rule" in program.output
        assert 'Traceback' not in program.output


# Bags that are not as they should be.

def replayed(folder, times_ns, topic=RAW, data=None, **options):
    """Write a bag of one topic, replay it and return (exit status, output)."""
    store = get_typestore(Stores.ROS2_FOXY)
    kind = 'sensor_msgs/msg/CompressedImage' if 'compressed' in topic else 'sensor_msgs/msg/Image'
    like = RAW if kind.endswith('/Image') else COMPRESSED
    [message] = [each for name, each, _ in recorded(store) if name == like][:1]
    with Writer(folder / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(topic, kind, typestore=store)
        for time_ns in times_ns:
            writer.write(connection, time_ns, store.serialize_cdr(message, kind) if data is None else data)
    with Program(trt_perception('replay', folder / 'bag', *options.get('arguments', [])), folder / 'output') as program:
        status = program.end(None)
        return status, program.output


@pytest.mark.parametrize('storage', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize('metadata', [None, 'a: [', 'storage_identifier: ""'])
def test_a_bag_without_usable_metadata_is_read_all_the_same(tmp_path, storage, metadata):
    folder = tmp_path / 'bag'
    write_bag(folder, storage=storage)
    whole = [(each.topic, each.time_ns, each.data) for each in Bag(str(folder)).messages()]
    file = folder / 'metadata.yaml'
    text = file.read_text()
    file.unlink()
    if metadata is not None:
        file.write_text(re.sub('storage_identifier: .*', metadata, text) if 'storage' in metadata else metadata)
    found = Bag(str(folder))
    assert [(each.topic, each.time_ns, each.data) for each in found.messages()] == whole
    assert found.note.startswith('bag {}: '.format(folder))
    assert found.note.endswith('without it; `ros2 bag reindex` would restore it.')
    assert '\n' not in found.note


@pytest.mark.parametrize(('name', 'remedy'), [
    ('whole.mcap', 'It was cut or not closed: try `mcap recover whole.mcap -o whole.mcap`.'),
    ('drive.db3', 'It is damaged: try `sqlite3 drive.db3 .recover | sqlite3 whole.db3`.'),
    ('drive.bag', 'It was not closed: try `rosbag reindex`, or give another.'),
    ('drive.bag.active', 'It was not closed: try `rosbag reindex`, or give another.'),
    ('drive.mcap.zstd', 'Unpack it first: zstd -d drive.mcap.zstd.'),
    ('drive.avi', 'Give the folder of a ROS 2 bag, or a .mcap, .db3 or .bag file.')])
def test_a_damaged_file_is_refused_with_what_helps_its_kind(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b'SQLite format 3\0' + bytes(range(256)))
    with pytest.raises(ConfigError) as caught:
        Bag(str(tmp_path / name))
    assert str(caught.value).startswith('bag {}: '.format(tmp_path / name))
    assert str(caught.value).endswith('. ' + remedy)


def test_the_files_of_a_bag_without_metadata_keep_their_order(tmp_path):
    assert [path.name for path in bag._storage_files(tmp_path)] == []
    for number in (10, 9, 1):
        (tmp_path / 'bag_{}.db3'.format(number)).touch()
    assert [path.name for path in bag._storage_files(tmp_path)] == ['bag_1.db3', 'bag_9.db3', 'bag_10.db3']


def test_a_long_time_without_messages_is_skipped_and_said(domain, tmp_path):
    began_s = time.monotonic()
    status, output = replayed(tmp_path, [0, START_NS, START_NS + 10**8, START_NS + 10 * 365 * 86400 * 10**9])
    assert status == 0
    assert 'Nothing was recorded for 1700000000 s: skipped (--longest-gap).' in output
    assert 'Nothing was recorded for 315360000 s: skipped (--longest-gap).' in output
    assert time.monotonic() - began_s < PATIENCE_S


def test_a_gap_that_may_be_played_is_played(domain, tmp_path):
    began_s = time.monotonic()
    status, output = replayed(tmp_path, [START_NS, START_NS + 3 * 10**9], arguments=['--longest-gap', '3.5'])
    assert status == 0
    assert 'skipped' not in output
    assert time.monotonic() - began_s > 3


@pytest.mark.parametrize(('topic', 'text'), [
    ('/cam/image raw', "bag topic '/cam/image raw': it cannot be published: Invalid topic name"),
    ('/cam/\x1b[31mimage', "bag topic '/cam/\\x1b[31mimage': it cannot be published: Invalid topic name"),
    ('/' + 300 * 'x', 'it cannot be published: Invalid topic name'),
    ('/clock', "bag topic '/clock': it cannot be published: Failed to create publisher")])
def test_a_topic_that_cannot_be_published_is_refused_in_one_line(domain, tmp_path, topic, text):
    status, output = replayed(tmp_path, [START_NS], topic)
    assert status == 2
    [line] = [line for line in output.splitlines() if 'Error' in line]
    assert line.startswith('trt_perception replay: ConfigError: bag topic ')
    assert text in line
    assert '\x1b' not in output
    assert 'Traceback' not in output


def test_a_message_that_is_cut_is_left_out(domain, tmp_path):
    status, output = replayed(tmp_path, [START_NS], COMPRESSED, b'\0\1\0\0\1\0', arguments=['--decompress'])
    assert status == 0
    assert COMPRESSED + ': recorded message: got 6 bytes that are no CompressedImage. It is left out.' in output


def test_times_that_ros_cannot_tell_are_played_without_a_clock_only(domain, tmp_path):
    status, output = replayed(tmp_path, [2**31 * 10**9])
    assert status == 2
    assert 'recorded 2147483648 s after 1970, expected less than 2**31 s' in output
    with Program(trt_perception('replay', tmp_path / 'bag', '--no-clock'), tmp_path / 'output') as program:
        assert program.end(None) == 0


def test_an_image_that_was_recorded_raw_too_is_not_decompressed(rig, tmp_path):
    images = rig.watch(Image, RAW)
    path = write_bag(tmp_path / 'bag', [RAW, COMPRESSED])
    with Program(trt_perception('replay', path, '--decompress', '--wait', '30'), tmp_path / 'output') as program:
        rig.until(lambda: program.process.poll() is not None, 'the end')
        rig.work(0.2)
        assert '{} is left out: {} is in the bag, too.'.format(COMPRESSED, RAW) in program.output
    assert [stamp_of(each) for each in images] == stamps()


@pytest.mark.parametrize('arguments', [
    ['--wait', 'nan'], ['--wait', '-1'], ['--longest-gap', 'inf'], ['--rate', 'inf']])
def test_a_time_that_is_none_is_refused(capsys, tmp_path, arguments):
    assert main(['replay', write_bag(tmp_path / 'bag')] + arguments) == 2
    assert 'ConfigError: {}: got {}, expected '.format(*arguments) in capsys.readouterr().err


def test_rules_after_ros_args_rename_topics_too(rig, tmp_path):
    images = rig.watch(Image, '/front/image')
    path = write_bag(tmp_path / 'bag', [RAW])
    code = 'import sys; from trt_perception.cli.programs import verb; sys.argv[0] = "replay"; sys.exit(verb())'
    with Program(['-c', code, path, '--wait', '30', '--ros-args', '-r', '__node:=replay', '-r', RAW + ':=/front/image'],
                 tmp_path / 'output') as program:
        rig.until(lambda: program.process.poll() is not None, 'the end')
        assert program.process.returncode == 0, program.output
    rig.until(lambda: len(images) == COUNT, 'the images')

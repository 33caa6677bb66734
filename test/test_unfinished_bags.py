"""Bags that were not closed, or are damaged: what is whole is read, the rest is named."""
import os
import sqlite3
import struct
from pathlib import Path

import pytest

rosbag2 = pytest.importorskip('rosbags.rosbag2', reason='bags cannot be written')
from bags import START_NS, images, write_bag  # noqa: E402

from trt_perception.bag import Bag  # noqa: E402
from trt_perception.core.errors import ConfigError  # noqa: E402

COUNT = 60
SIZE = (120, 160)  # So that there are 4 chunks or more.
NONE, CHUNKS = rosbag2.CompressionMode.NONE, rosbag2.CompressionMode.STORAGE


def records(data):
    """Yield kind, place and length of each record of an MCAP file."""
    place = 8
    while place < len(data) - 8:
        kind, length = struct.unpack_from('<BQ', data, place)
        yield kind, place, length
        place += 9 + length


def chunks(data):
    return [(place, length) for kind, place, length in records(data) if kind == 6]


def times(path):
    bag = Bag(str(path))
    return [(each.time_ns - START_NS) // 50_000_000 for each in bag.messages()], bag.note


@pytest.mark.parametrize('compression', [NONE, CHUNKS], ids=['plain', 'zstd'])
def test_a_recording_that_was_killed_is_read_up_to_its_last_whole_chunk(tmp_path, compression):
    path = Path(write_bag(tmp_path / 'bag', images(COUNT, size=SIZE), compression=compression)) / 'bag.mcap'
    data = path.read_bytes()
    place, length = chunks(data)[-1]
    whole, note = times(path)
    assert (whole, note) == (list(range(COUNT)), '')
    path.write_bytes(data[:place + length // 2])
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    for name in (path, path.parent):  # The file, and the folder as the recorder left it.
        found, note = times(name)
        assert found == list(range(len(found)))
        assert COUNT * 0.6 < len(found) < COUNT
        assert 'bag.mcap: it ends within a record, {} bytes from its end. It was cut or not closed: try `mcap '.format(
            length // 2) in note


def test_a_recording_without_an_index_is_read_whole(tmp_path):
    path = Path(write_bag(tmp_path / 'bag', images(COUNT, size=SIZE))) / 'bag.mcap'
    data = path.read_bytes()
    place, length = chunks(data)[-1]
    path.write_bytes(data[:place + 9 + length])
    found, note = times(path)
    assert found == list(range(COUNT))
    assert 'bag.mcap: it ends without an index.' in note


def test_what_is_behind_a_damaged_chunk_is_read_too(tmp_path):
    path = Path(write_bag(tmp_path / 'bag', images(COUNT, size=SIZE))) / 'bag.mcap'
    data = bytearray(path.read_bytes())
    place, _ = chunks(data)[1]
    data[place + 9 + 24:place + 9 + 28] = b'spoi'  # Its checksum.
    path.write_bytes(bytes(data))
    found, note = times(path)
    lost = sorted(set(range(COUNT)) - set(found))
    assert len(lost) == len(set(lost)) > 0
    assert lost == list(range(lost[0], lost[-1] + 1))  # One chunk, and what is around it is there.
    assert lost[0] > 0
    assert lost[-1] < COUNT - 1
    assert found == sorted(set(found))
    assert 'Read on behind the damage.' in note
    assert 'a damaged record at byte {} is left out: the checksum of a chunk is wrong.'.format(place + 9) in note


@pytest.mark.parametrize('content', [b'', b'\x89MCAP0\r\n', b'\x89MCAP0\r\n\x06' + b'\xff' * 8, b'junk' * 9])
def test_a_file_in_which_nothing_is_whole_is_refused(tmp_path, content):
    path = tmp_path / 'a.mcap'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match='bag {}: '.format(path)):
        Bag(str(path))


def test_messages_in_the_log_of_a_killed_sqlite3_recorder_are_named(tmp_path):
    folder = Path(write_bag(tmp_path / 'bag', images(9), rosbag2.StoragePlugin.SQLITE3))
    database = sqlite3.connect(str(folder / 'bag.db3'))
    database.execute('PRAGMA journal_mode=WAL')
    database.execute('INSERT INTO messages(topic_id, timestamp, data) SELECT topic_id, timestamp + 1000000000, data '
                     'FROM messages')
    database.commit()
    for path in folder.iterdir():  # As a recorder that is killed leaves them: without a last checkpoint.
        (tmp_path / path.name).write_bytes(path.read_bytes())
    database.close()
    found, note = times(tmp_path / 'bag.db3')
    assert found == list(range(9))
    assert 'bag.db3-wal has messages that are not read' in note
    (tmp_path / 'bag.db3-wal').unlink()
    assert times(tmp_path / 'bag.db3') == (list(range(9)), '')


def test_of_a_split_bag_the_whole_files_are_read(tmp_path):
    sent = images(9)
    folder = Path(write_bag(tmp_path / 'a', sent[:3]))
    for name, part in (('b', sent[3:6]), ('c', sent[6:])):
        other = Path(write_bag(tmp_path / name, part))
        (other / (name + '.mcap')).rename(folder / (name + '.mcap'))
    (folder / 'metadata.yaml').unlink()
    (folder / 'b.mcap').write_bytes(b'junk')
    found, note = times(folder)
    assert found == [0, 1, 2, 6, 7, 8]
    assert 'b.mcap: ' in note
    assert 'It is left out.' in note


@pytest.mark.parametrize('name', ['bag.mcap', 'metadata.yaml', 'alone.mcap', 'alone.db3', 'alone.bag'])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, name):
    folder = Path(write_bag(tmp_path / 'bag', images(1)))
    path = folder / name if (folder / name).exists() else tmp_path / name
    if path.exists():
        path.unlink()
    os.mkfifo(str(path))
    with pytest.raises(ConfigError, match='{} is not a regular file. Restore it.'.format(name)):
        Bag(str(tmp_path / name if name.startswith('alone') else folder))

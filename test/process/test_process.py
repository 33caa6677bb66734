"""What comes of a bag: content, order, stamps, names; and what is refused."""
import json
import shutil

import networks
import numpy as np
import pytest
from bags import (
    PERIOD_NS,
    ROS,
    START_NS,
    TYPES,
    camera_info,
    compressed,
    digests,
    image,
    images,
    read_bag,
    stamped,
    write_bag,
)
from moving_scene import SIZE, agreement, scene, truth
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.tasks import OPTICAL_FLOW, TASKS
from trt_perception.process import Engines, Job, fingerprint, process

RAW = '/camera/image_raw'


@pytest.fixture
def run(tmp_path, settings):
    """Give what processes a bag into tmp_path/out and returns the summary and its messages by topic."""
    def run(bag, **options):
        summary = process(Job(str(bag), str(tmp_path / 'out'), **dict({'settings': settings}, **options)))
        return summary, by_topic(read_bag(tmp_path / 'out'))
    return run


def by_topic(messages):
    found = {}
    for topic, time_ns, message in messages:
        found.setdefault(topic, []).append((time_ns, message))
    return found


def pixels(message):
    dtype, shape = {'mono8': (np.uint8, ()), '32FC2': (np.float32, (2,))}[message.encoding]
    return message.data.view(dtype).reshape((message.height, message.width) + shape)


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


# What is written

def test_every_image_gives_its_labels_and_flow_with_its_own_header_and_time(tmp_path, run):
    sent = images(7)
    summary, found = run(write_bag(tmp_path / 'bag', sent))
    assert (summary.state, summary.images, summary.processed, summary.bad, summary.faults) == ('done', 7, 7, 0, [])
    labels = found['/segmentation/label_map']
    assert [time_ns for time_ns, _ in labels] == [time_ns for _, _, time_ns in sent]
    for (_, message), (_, original, _) in zip(labels, sent):
        assert (stamp_ns(message), message.header.frame_id) == (stamp_ns(original), 'camera')
        assert (pixels(message) == original.data.reshape(6, 8, 3).argmax(2)).all()
    for (_, message), (_, original, _) in zip(found['/segmentation/confidence'], sent):
        assert (pixels(message) == original.data.reshape(6, 8, 3).max(2)).all()
    flows = found['/optical_flow/flow']
    assert [time_ns for time_ns, _ in flows] == [time_ns for _, _, time_ns in sent[1:]]
    assert [stamp_ns(message) for _, message in flows] == [stamp_ns(original) for _, original, _ in sent[1:]]
    assert len({message.data.tobytes() for _, message in flows}) == 6
    assert json.loads(found['/optical_flow/flow_info'][0][1].data)['interval_s'] == pytest.approx(PERIOD_NS * 1e-9)


def test_what_the_labels_mean_is_latched_and_comes_first(tmp_path, run):
    _, found = run(write_bag(tmp_path / 'bag', images(2)))
    [(time_ns, message)] = found['/segmentation/label_info_json']
    assert time_ns == START_NS
    assert [each['name'] for each in json.loads(message.data)['classes']] == ['reddish', 'greenish', 'bluish']
    [(_, info)] = found['/segmentation/label_info']
    assert [(each.class_id, each.class_name) for each in info.class_map] == [
        (0, 'reddish'), (1, 'greenish'), (2, 'bluish')]
    metadata = (tmp_path / 'out' / 'metadata.yaml').read_text()
    assert metadata.count('durability: 1') == 2  # Transient local: the two of them.


def test_the_calibration_holds_until_the_next_and_is_scaled(tmp_path, run, settings):
    info = ('/camera/camera_info', camera_info(5), START_NS + PERIOD_NS + 1)
    later = ('/camera/camera_info', camera_info(9), START_NS + 3 * PERIOD_NS + 1)
    summary, found = run(write_bag(tmp_path / 'bag', sorted(images(5) + [info, later], key=lambda each: each[2])))
    given = found['/segmentation/camera_info']
    assert [time_ns for time_ns, _ in given] == [START_NS + number * PERIOD_NS for number in (2, 3, 4)]
    assert [message.k[0] for _, message in given] == [5, 5, 9]
    assert stamp_ns(given[0][1]) == START_NS + 2 * PERIOD_NS - 7
    assert summary.faults == []


def test_only_the_topics_that_were_asked_for_are_written_and_computed(tmp_path, run):
    summary, found = run(write_bag(tmp_path / 'bag', images(3)), outputs=('optical_flow/flow', '*/overlay'))
    assert {topic: len(messages) for topic, messages in found.items()} == {
        '/optical_flow/flow': 2, '/segmentation/overlay': 3}
    assert summary.results == {'/optical_flow/flow': 2, '/segmentation/overlay': 3}


def test_the_input_may_be_written_too(tmp_path, run):
    sent = images(4) + [('/camera/camera_info', camera_info(1), START_NS),
                        ('/chatter', TYPES.types.String(data='hello'), START_NS)]
    _, found = run(write_bag(tmp_path / 'bag', sent), with_input=True, every=2)
    assert [(time_ns, bytes(message.data)) for time_ns, message in found[RAW]] == [
        (time_ns, bytes(message.data)) for _, message, time_ns in sent[0:4:2]]
    assert len(found['/camera/camera_info']) == 1
    assert '/chatter' not in found


def test_several_cameras_have_a_namespace_each_and_do_not_mix(tmp_path, run):
    front, rear = (images(4, '/{}/image_raw'.format(name), seed=seed) for name, seed in (('front', 1), ('rear', 2)))
    _, found = run(write_bag(tmp_path / 'bag', sorted(front + rear, key=lambda each: each[2])))
    for name, sent in (('front', front), ('rear', rear)):
        labels = sent[0][1].data.reshape(6, 8, 3).argmax(2)
        assert [(pixels(message) == labels).all() for _, message in found['/{}/segmentation/label_map'.format(name)]] \
            == [True] * 4
        assert len(found['/{}/optical_flow/flow'.format(name)]) == 3
    u, v = pixels(found['/front/optical_flow/flow'][0][1])[0, 0]
    assert u == v  # Grey levels of the same image, of one camera.


def test_a_namespace_can_be_chosen(tmp_path, run):
    bag = write_bag(tmp_path / 'bag', images(2, '/a/image') + images(2, '/b/image'))
    _, found = run(bag, cameras=(('/b/image', 'left/eye'),))
    assert '/left/eye/segmentation/label_map' in found
    assert not any(topic.startswith('/a') for topic in found)


def test_every_nth_image_and_a_time_range_are_chosen(tmp_path, run):
    bag = write_bag(tmp_path / 'bag', images(12))
    summary, found = run(bag, every=3, start_ns=2 * PERIOD_NS, end_ns=9 * PERIOD_NS)
    assert [(time_ns - START_NS) // PERIOD_NS for time_ns, _ in found['/segmentation/label_map']] == [2, 5, 8]
    assert summary.images == 3


@pytest.mark.parametrize('every', [1, 2])
def test_the_parts_of_a_bag_together_give_the_whole(tmp_path, settings, every):
    info = ('/camera/camera_info', camera_info(5), START_NS)  # Published once, and known in each part.
    bag = write_bag(tmp_path / 'bag', [info, *images(60)])
    whole = process(Job(bag, str(tmp_path / 'whole'), settings=settings, every=every, outputs=('*',)))
    parts = []
    for number in range(3):
        output = tmp_path / str(number)
        process(Job(bag, str(output), settings=settings, every=every, outputs=('*',),
                    start_ns=20 * number * PERIOD_NS, end_ns=20 * (number + 1) * PERIOD_NS))
        parts += read_bag(output)
    assert whole.results['/optical_flow/flow'] == 60 // every - 1
    expected, found = ([(topic, time_ns, TYPES.serialize(message)) for topic, time_ns, message in messages
                        if 'label_info' not in topic] for messages in (read_bag(tmp_path / 'whole'), parts))
    assert found == expected


def test_engines_that_stay_open_change_nothing(tmp_path, settings):
    bags = [write_bag(tmp_path / name, images(4, size=size, seed=number))
            for number, (name, size) in enumerate((('a', (6, 8)), ('b', (12, 16)), ('c', (6, 8))))]
    with Engines() as engines:
        for number, bag in enumerate(bags):
            process(Job(bag, str(tmp_path / 'kept' / str(number)), settings=settings), engines=engines)
    for number, bag in enumerate(bags):
        process(Job(bag, str(tmp_path / 'alone' / str(number)), settings=settings))
        assert digests(tmp_path / 'kept' / str(number)) == digests(tmp_path / 'alone' / str(number))


def test_of_a_damaged_bag_what_comes_before_is_processed_and_the_damage_named(tmp_path, run):
    sent = images(9, size=(48, 64))
    bag = write_bag(tmp_path / 'bag', sent, StoragePlugin.SQLITE3)
    path = tmp_path / 'bag' / 'bag.db3'
    data = bytearray(path.read_bytes())
    page = data.index(sent[5][1].data[5000:5050].tobytes()) // 4096 * 4096
    data[page:page + 4096] = b'\xff' * 4096
    path.write_bytes(bytes(data))
    summary, found = run(bag)
    assert summary.images == 5
    assert len(found['/segmentation/label_map']) == 5
    [fault] = summary.faults
    assert fault.startswith('bag {}: '.format(bag))
    assert 'It is damaged: try `sqlite3 bag.db3 .recover' in fault


def test_a_bag_that_has_an_image_raw_and_compressed_gives_one_result_each(tmp_path, run):
    bag = write_bag(tmp_path / 'bag', images(3) + images(3, RAW + '/compressed', compressed))
    summary, found = run(bag)
    assert summary.images == 3
    assert len(found['/segmentation/label_map']) == 3


def test_results_in_a_bag_are_not_taken_for_cameras(tmp_path, run, settings):
    bag = write_bag(tmp_path / 'bag', images(3))
    process(Job(bag, str(tmp_path / 'first'), settings=settings, with_input=True, outputs=('*',)))
    summary, _ = run(tmp_path / 'first')
    assert summary.images == 3


def ros1(path, sent):
    store = get_typestore(Stores.ROS1_NOETIC)
    header, time, kind = (store.types[name] for name in (
        'std_msgs/msg/Header', 'builtin_interfaces/msg/Time', 'sensor_msgs/msg/Image'))
    with Writer1(path) as writer:
        connection = writer.add_connection(RAW, kind.__msgtype__, typestore=store)
        for number, (_, message, time_ns) in enumerate(sent):
            stamp = message.header.stamp
            copied = kind(header(number, time(stamp.sec, stamp.nanosec), 'camera'), message.height, message.width,
                          message.encoding, 0, message.step, message.data)
            writer.write(connection, time_ns, store.serialize_ros1(copied, kind.__msgtype__))
    return str(path)


@pytest.mark.parametrize('write', [
    lambda path, sent: write_bag(path / 'bag', sent, StoragePlugin.SQLITE3),
    lambda path, sent: write_bag(path / 'bag', sent) + '/bag.mcap',
    lambda path, sent: write_bag(path / 'bag', sent, compression=CompressionMode.STORAGE),
    lambda path, sent: write_bag(path / 'bag', sent, StoragePlugin.SQLITE3, CompressionMode.FILE),
    lambda path, sent: write_bag(path / 'bag', sent, StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    lambda path, sent: ros1(path / 'bag.bag', sent)],
    ids=['sqlite3', 'one file', 'chunks compressed', 'files compressed', 'messages compressed', 'ROS 1'])
def test_every_kind_of_bag_gives_the_same_messages(tmp_path, run, settings, write):
    sent = images(3)
    process(Job(write_bag(tmp_path / 'plain', sent), str(tmp_path / 'expected'), settings=settings))
    (tmp_path / 'other').mkdir()
    summary, _ = run(write(tmp_path / 'other', sent))
    assert summary.faults == []
    expected, found = (read_bag(tmp_path / name) for name in ('expected', 'out'))
    assert [TYPES.serialize(each) for _, _, each in found] == [TYPES.serialize(each) for _, _, each in expected]


@pytest.mark.parametrize('options', [{'storage': 'sqlite3'}, {'compress': True}, {'split': 2}, {'with_input': True}])
def test_a_second_run_gives_the_same_bytes(tmp_path, settings, options):
    bag = write_bag(tmp_path / 'bag', images(5))
    for name in ('a', 'b'):
        process(Job(bag, str(tmp_path / name / 'bag'), settings=settings, **options))
    assert digests(tmp_path / 'a' / 'bag') == digests(tmp_path / 'b' / 'bag')
    assert len(digests(tmp_path / 'a' / 'bag')) == (5 if 'split' in options else 3)


def test_a_split_output_reads_as_one_bag(tmp_path, run, settings):
    bag = write_bag(tmp_path / 'bag', images(7))
    process(Job(bag, str(tmp_path / 'whole'), settings=settings))
    run(bag, split=3)
    assert sorted(path.name for path in (tmp_path / 'out').glob('*.mcap')) == ['out_0.mcap', 'out_1.mcap', 'out_2.mcap']
    whole, split = (read_bag(tmp_path / name) for name in ('whole', 'out'))
    assert [(topic, time_ns, TYPES.serialize(each)) for topic, time_ns, each in split] == [
        (topic, time_ns, TYPES.serialize(each)) for topic, time_ns, each in whole]


# Labels that are carried

@pytest.fixture
def carrying(settings, tmp_path):
    """Give parameters with a network for the moving scene's size, of which every third image is to be segmented."""
    (tmp_path / 'model').mkdir()
    return dict(settings, propagate=3, **{
        'segmentation.model': networks.segmentation_model(tmp_path / 'model', SIZE).path,
        'optical_flow.model': 'dis_medium', 'engine': 'auto'})


def moving(count, bad=()):
    """Return images of a scene that moves, of which some cannot be used."""
    def make(number):
        return ROS.Image(header=stamped(number), height=SIZE[0], width=SIZE[1], step=3 * SIZE[1],
                         encoding='rgb16' if number in bad else 'rgb8', data=scene(number).reshape(-1))
    return images(count, make=make)


@pytest.mark.parametrize('tasks', [('segmentation',), ('segmentation', 'optical_flow')])
def test_every_nth_image_is_segmented_and_labels_are_carried_to_the_others(tmp_path, run, carrying, tasks):
    _, found = run(write_bag(tmp_path / 'bag', moving(8)), settings=carrying, tasks=tasks)
    labels = [pixels(message) for _, message in found['/segmentation/label_map']]
    exact = [number for number, each in enumerate(labels) if (each == truth(number)).all()]
    assert {0, 3, 6} <= set(exact)
    assert len(exact) < 8
    assert min(agreement(each, number) for number, each in enumerate(labels)) > 0.95
    report = json.loads((tmp_path / 'out' / 'process.json').read_text())
    assert report['models']['segmentation']['carried_along'].startswith('dis_ultrafast on opencv, ')


@pytest.mark.parametrize('tasks', [('segmentation',), ('segmentation', 'optical_flow')])
@pytest.mark.parametrize('split', [1, 2, 5])
def test_carried_labels_are_the_same_where_an_earlier_run_was_stopped(tmp_path, carrying, tasks, split):
    bag = write_bag(tmp_path / 'bag', moving(14, bad=(4, 9)))
    job = Job(bag, str(tmp_path / 'a' / 'out'), settings=carrying, tasks=tasks, split=split, outputs=('*',))
    process(job)
    stopped = job._replace(output=str(tmp_path / 'b' / 'out'))
    for last in range(3, 14, 4):
        def stop(progress, last=last):
            if progress.done == last:
                raise KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            process(stopped, stop)
    resumed = process(stopped).resumed
    assert 10 - split < resumed <= 11
    assert digests(tmp_path / 'a' / 'out') == digests(tmp_path / 'b' / 'out')


def test_how_many_images_are_segmented_tells_jobs_apart(tmp_path, carrying):
    job = Job(write_bag(tmp_path / 'bag', moving(2)), str(tmp_path / 'out'), settings=carrying)
    others = [job._replace(settings=dict(carrying, propagate=number)) for number in (1, 4)]
    assert len({fingerprint(each) for each in [job, *others]}) == 3


# A job that is done, or not the same

def test_an_equal_job_is_not_done_again(tmp_path, run, settings):
    bag = write_bag(tmp_path / 'bag', images(3))
    first, _ = run(bag)
    before = digests(tmp_path / 'out')
    shutil.move(bag, str(tmp_path / 'elsewhere'))
    again, _ = run(tmp_path / 'elsewhere')
    assert (first.state, again.state, again.resumed) == ('done', 'unchanged', 3)
    assert again.results == first.results
    assert digests(tmp_path / 'out') == before


@pytest.mark.parametrize('change', [{'every': 2}, {'outputs': ('segmentation/*',)}, {'tasks': ('segmentation',)},
                                    {'end_ns': PERIOD_NS * 2}, {'precision': 'fp32'}, {'min_confidence': 0.5}])
def test_the_fingerprint_tells_jobs_apart(tmp_path, settings, change):
    job = Job(write_bag(tmp_path / 'bag', images(3)), str(tmp_path / 'out'), settings=settings)
    if 'min_confidence' in change:
        other = job._replace(settings=dict(settings, **{'segmentation.min_confidence': 0.5}))
    elif 'precision' in change:
        other = job._replace(settings=dict(settings, precision='fp32', max_frame_age=3.0))
        assert fingerprint(other) == fingerprint(job)  # What is the default, or has no effect, makes no difference.
        return
    else:
        other = job._replace(**change)
    assert fingerprint(other) != fingerprint(job)


def test_an_output_of_another_job_is_refused_and_kept(tmp_path, run):
    bag = write_bag(tmp_path / 'bag', images(3))
    run(bag)
    before = digests(tmp_path / 'out')
    with pytest.raises(ConfigError, match='out: it exists, and is the result of another job. Remove it, or give'):
        run(bag, every=2)
    assert digests(tmp_path / 'out') == before


def test_a_folder_that_is_no_output_is_refused_and_kept(tmp_path, run):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine').write_text('important')
    with pytest.raises(ConfigError, match='it exists, and is no result of'):
        run(write_bag(tmp_path / 'bag', images(3)))
    assert (tmp_path / 'out' / 'mine').read_text() == 'important'


# What is wrong

def test_an_image_of_another_encoding_in_the_middle_is_skipped_and_named(tmp_path, run):
    sent = images(6)
    sent[2] = (RAW, image(2, encoding='rgb16'), sent[2][2])
    sent[3] = (RAW, image(3, encoding='rgb16'), sent[3][2])
    summary, found = run(write_bag(tmp_path / 'bag', sent))
    assert (summary.images, summary.processed, summary.bad) == (6, 4, 2)
    [fault] = summary.faults
    assert fault.startswith(RAW + ": image skipped: image encoding: got 'rgb16'")
    assert fault.endswith('(2 times, first at {}.{:09d} s)'.format(*divmod(sent[2][2], 10**9)))
    assert len(found['/segmentation/label_map']) == 4
    assert [json.loads(message.data)['interval_s'] for _, message in found['/optical_flow/flow_info']] == \
        pytest.approx([0.05, 0.15, 0.05])  # The pair goes over the gap, as in the node.


@pytest.mark.parametrize(('options', 'text'), [
    ({'cameras': (('/no/such', ''),)}, 'topic /no/such: not among the image topics of the bag: /camera/image_raw.'),
    ({'cameras': ((RAW, 'a'), (RAW, 'b'))}, 'topic {!r}: 2 cameras have it'.format(RAW)),
    ({'cameras': ((RAW, 'front left'),)}, "namespace 'front left': expected letters, digits, _ and /"),
    ({'cameras': ((RAW, 'vorn/ü'),)}, "namespace 'vorn/ü': expected letters, digits, _ and /"),
    ({'outputs': ('segmentation/mask',)}, "'segmentation/mask' is none of the topics of {}: ".format(', '.join(TASKS))),
    ({'start_ns': 10**12}, 'no image on /camera/image_raw in the time range. It has 0.100 s.'),
    ({'start_ns': 5, 'end_ns': 5}, 'time range: got 5 to 5 ns'),
    ({'every': 0}, 'every: got 0, expected at least 1.'),
    ({'storage': 'sqlite3', 'compress': True}, 'compress: got storage sqlite3, expected mcap'),
    ({'storage': 'tape'}, "storage: got 'tape', expected one of mcap, sqlite3."),
    ({'tasks': ('sound',)}, "task: got 'sound', expected one of "),
    ({'settings': {'engine': 'magic'}}, "engine: got 'magic', expected one of "),
    ({'settings': {'colour': 1}}, 'parameter colour: unknown'),
    ({'settings': {'propagate': 0}}, 'parameter propagate: got 0, expected at least 1: 0 means as time allows'),
    ({'settings': {'num_threads': -1}}, 'parameter num_threads: got -1, expected '),
])
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, run, options, text):
    with pytest.raises(ConfigError) as caught:
        run(write_bag(tmp_path / 'bag', images(3)), **options)
    assert text in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag']


def test_propagate_says_nothing_where_nothing_is_carried(tmp_path, run, settings):
    bag = write_bag(tmp_path / 'bag', images(3))
    assert run(bag, tasks=(OPTICAL_FLOW,), settings=dict(settings, propagate=0))[0].processed == 3


def test_a_bag_without_messages_is_refused(tmp_path, run):
    bag = write_bag(tmp_path / 'bag', [])
    with pytest.raises(ConfigError, match='no image topic; it has no topics'):
        run(bag)


def test_a_bag_with_calibrations_alone_in_the_range_is_refused(tmp_path, run):
    sent = [('/camera/camera_info', camera_info(1), START_NS)] + [
        (topic, message, time_ns + PERIOD_NS) for topic, message, time_ns in images(2)]
    with pytest.raises(ConfigError, match='no image on /camera/image_raw'):
        run(write_bag(tmp_path / 'bag', sent), end_ns=10)
    assert not list(tmp_path.glob('out*'))


def test_a_broken_engine_leaves_what_was_done(tmp_path, run, monkeypatch):
    from trt_perception.core.segmentation import SegmentationPipeline
    bag = write_bag(tmp_path / 'bag', images(7))
    right, seen = SegmentationPipeline.process, []

    def failing(self, frame):
        seen.append(frame)
        if len(seen) == 6:
            raise EngineError('broken')
        return right(self, frame)

    monkeypatch.setattr(SegmentationPipeline, 'process', failing)
    with pytest.raises(EngineError, match='broken'):
        run(bag, split=2)
    summary, found = run(bag, split=2)
    assert (summary.resumed, summary.images) == (4, 7)
    assert len(found['/segmentation/label_map']) == 7
    assert len(found['/optical_flow/flow']) == 6

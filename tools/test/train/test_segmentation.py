"""The segmentation task, on images that are written here."""
import json

import cv2
import numpy as np
import pytest
import torch

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception_tools.networks.weights import read_weights
from trt_perception_tools.train import segmentation, trainer
from trt_perception_tools.train.augment import Augmentation, view
from trt_perception_tools.train.recipe import Optimiser, Recipe
from trt_perception_tools.train.segmentation import SegmentationTask
from trt_perception_tools.train.trainer import Trainer

COLORS = np.random.default_rng(0).integers(0, 256, (11, 3)).astype(np.uint8)
NETWORK = {'name': 'swiftnet', 'encoder': 'resnet18', 'width': 0.125}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Networks of this size are slower on several; and drawing takes longer than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(trainer, 'draw_curves', lambda *_: None)
    yield
    torch.set_num_threads(threads)


def street(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image in which the colour tells the class, and its labels, some of them void."""
    random = np.random.default_rng(number)
    labels = np.kron(random.integers(0, 11, (4, 6)), np.ones((12, 12), int)).astype(np.uint8)
    labels[:12, :12] = VOID
    image = np.where(labels[..., None] == VOID, 255, COLORS[np.minimum(labels, 10)]).astype(np.uint8)
    return image, labels


@pytest.fixture
def camvid(tmp_path):
    folder = tmp_path / 'camvid'
    for split, numbers in (('train', range(5)), ('val', range(5, 7))):
        for name in (split, split + 'annot'):
            (folder / name).mkdir(parents=True)
        (folder / f'{split}.txt').write_text('\n'.join(map(str, numbers)))
        for number in numbers:
            image, labels = street(number)
            labels[labels == VOID] = 11
            assert cv2.imwrite(str(folder / split / f'{number}.png'), image)
            assert cv2.imwrite(str(folder / f'{split}annot' / f'{number}.png'), labels)
    return folder


def settings(camvid, **fields):
    return {'data': {'folder': str(camvid), 'size': [48, 72]}, 'batch': 2, 'network': NETWORK,
            'augmentation': {'crop': [32, 32]}, **fields}


def task(camvid, seed=0, **fields):
    torch.manual_seed(seed)
    return SegmentationTask(settings(camvid, **fields), 'recipe.yaml: segmentation', seed)


def run(camvid, output, *, seed=0, epochs=2, **fields):
    made = task(camvid, seed, **fields)
    Trainer(made, Recipe('segmentation', output, epochs, seed, optimiser=Optimiser(learning_rate=0.01)), fields).run()
    return made


def test_a_view_keeps_labels_on_the_pixels_of_the_image():
    still = Augmentation((40, 56), (0.5, 2.0), brightness=0, contrast=0, saturation=0)
    random = np.random.default_rng(3)
    for number in range(40):
        image, labels = view(*street(number), still, random)
        assert (image.shape, labels.shape) == ((40, 56, 3), (40, 56))
        known = labels != VOID
        # Colours at borders are mixed; inside, the colour is that of the class.
        inside = known & (cv2.erode(labels, np.ones((5, 5))) == cv2.dilate(labels, np.ones((5, 5))))
        inside[[0, -1]] = inside[:, [0, -1]] = False  # There, an image's edge may be mixed with what is outside.
        assert inside.any()
        np.testing.assert_array_equal(image[inside], COLORS[labels[inside]])


def test_borders_in_image_and_labels_lie_within_half_a_pixel_of_each_other():
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 1
    image = np.repeat(labels[..., None] * np.uint8(200), 3, 2)
    how = Augmentation((64, 64), (0.5, 2.0), brightness=0, contrast=0, saturation=0, centred=1)
    random = np.random.default_rng(0)
    for _ in range(40):
        pixels, seen = view(image, labels, how, random)
        known = seen != VOID
        assert ((pixels[..., 0] > 101)[known] <= (seen == 1)[known]).mean() > 0.98
        assert abs(int((pixels[..., 0] > 100)[known].sum()) - int((seen == 1).sum())) <= 64


def test_half_of_the_classes_of_another_image_are_pasted_with_their_labels():
    still = Augmentation((48, 72), (1.0, 1.0), brightness=0, contrast=0, saturation=0, centred=0)
    image, labels = np.full((48, 72, 3), 7, np.uint8), np.full((48, 72), 10, np.uint8)
    other = np.repeat(np.arange(4, dtype=np.uint8), 18)[None].repeat(48, 0)
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(30):
        pixels, ids = view(image, labels, still, random, (COLORS[other], other))
        pasted = set(np.unique(ids)) - {10}
        assert len(pasted) == 2
        seen |= pasted
        np.testing.assert_array_equal(pixels, np.where((ids == 10)[..., None], 7, COLORS[ids]))
    assert seen == {0, 1, 2, 3}


def test_mixed_views_come_as_often_as_the_recipe_says(camvid, monkeypatch):
    others = []

    def recorded(image, labels, how, random, other):
        others.append(other is not None)
        return view(image, labels, how, random, other)

    monkeypatch.setattr(segmentation, 'view', recorded)
    made = task(camvid, augmentation={'crop': [32, 32], 'mix': 0.5})
    for epoch in range(20):
        list(made.batches(epoch))
    assert 0.3 < np.mean(others) < 0.7


def test_views_differ_but_the_same_generator_gives_the_same():
    how = Augmentation((32, 32))
    first, again = (np.random.default_rng(1) for _ in range(2))
    views = [view(*street(0), how, first) for _ in range(3)]
    for image, labels in views:
        for got, expected in zip(view(*street(0), how, again), (image, labels), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert not np.array_equal(views[0][0], views[1][0])


def test_a_held_out_drive_is_validated_and_not_trained_on(camvid):
    for name in ('train/4.png', 'trainannot/4.png'):
        (camvid / name).rename(camvid / name.replace('4', 'drive_4'))
    (camvid / 'train.txt').write_text('0\n1\n2\n3\ndrive_4')
    data = {'folder': str(camvid), 'size': [48, 72]}
    made = task(camvid, data={**data, 'held_out': 'drive'}, batch=4)
    plain = task(camvid, data=data, batch=4)
    assert (len(made._train), len(made._validate)) == (4, 1)
    assert (len(plain._train), len(plain._validate)) == (5, 2)
    np.testing.assert_array_equal(made._validate[0].labels, plain._train[4].labels)
    with pytest.raises(ConfigError, match="held_out: no image of train has a name that begins with 'other'"):
        task(camvid, data={**data, 'held_out': 'other'})


def test_centred_views_see_a_rare_class_more_often():
    labels = np.zeros((200, 300), np.uint8)
    labels[100:108, 200:208] = 9
    image = np.zeros((200, 300, 3), np.uint8)

    def share(centred):
        random = np.random.default_rng(0)
        how = Augmentation((40, 40), (1.0, 1.0), centred=centred)
        return np.mean([(view(image, labels, how, random)[1] == 9).any() for _ in range(200)])

    assert share(1.0) > 0.45 > 0.15 > share(0.0)


def test_a_flip_is_the_mirrored_image():
    image, labels = street(1)
    how = Augmentation(labels.shape, (1.0, 1.0), brightness=0, contrast=0, saturation=0, centred=0)
    random = np.random.default_rng(0)
    kinds = set()
    for _ in range(20):
        got, seen = view(image, labels, how, random)
        flipped = np.array_equal(seen, labels[:, ::-1])
        kinds.add(flipped)
        np.testing.assert_array_equal(seen, labels[:, ::-1] if flipped else labels)
        np.testing.assert_array_equal(got, image[:, ::-1] if flipped else image)
    assert kinds == {True, False}


def test_colours_change_in_brightness_contrast_and_saturation():
    image = np.tile(np.uint8([[[40, 80, 160]]]), (8, 8, 1))
    labels = np.zeros((8, 8), np.uint8)
    still = {'crop': (8, 8), 'scale': (1.0, 1.0), 'brightness': 0, 'contrast': 0, 'saturation': 0}

    def colors(**change):
        random = np.random.default_rng(0)
        return np.array([view(image, labels, Augmentation(**{**still, **change}), random)[0][4, 4].astype(float)
                         for _ in range(30)])

    brighter = colors(brightness=0.5) / (40, 80, 160)
    assert np.ptp(brighter, axis=1).max() < 0.03
    assert brighter.min() < 0.7 < 1.3 < brighter.max()
    greyer = colors(saturation=0.5)
    assert np.abs(greyer.mean(1) - 280 / 3).max() < 1
    assert np.ptp(greyer[:, 2] - greyer[:, 0]) > 40


def test_views_get_the_colours_of_other_cameras_and_other_corruptions():
    image = np.tile(np.uint8([[[160, 80, 40]]]), (64, 64, 1))
    labels = np.zeros((64, 64), np.uint8)
    still = {'crop': (64, 64), 'scale': (1.0, 1.0), 'brightness': 0, 'contrast': 0, 'saturation': 0}

    def views(**change):
        random = np.random.default_rng(0)
        return np.array([view(image, labels, Augmentation(**still, **change), random)[0] for _ in range(40)], float)

    tones = views(cast=1.0)[:, 32, 32] / (160, 80, 40)
    assert np.ptp(tones, axis=1).max() > 0.3  # The channels change apart from each other.
    same = (views(corrupt=0.5) == image).all((1, 2, 3)).mean()
    assert 0.3 < same < 0.7
    warmer = views(corrupt=1.0).mean((1, 2))[:, 0] > 161
    assert warmer.any(), 'images are RGB: warm light raises the first channel'


def test_batches_depend_on_seed_and_epoch_only_and_hold_each_image_once(camvid):
    batches = [list(task(camvid, seed).batches(epoch)) for seed, epoch in ((1, 4), (1, 4), (1, 5), (2, 4))]
    assert len(batches[0]) == task(camvid).steps_per_epoch == 2
    for (image, labels, _), (other, others, _) in zip(batches[0], batches[1], strict=True):
        assert image.dtype == torch.uint8
        assert image.shape == (2, 3, 32, 32)
        assert labels.shape == (2, 32, 32)
        assert torch.equal(image, other)
        assert torch.equal(labels, others)
    for another in batches[2:]:
        assert not torch.equal(batches[0][0][0], another[0][0])


def test_the_network_gets_rgb_minus_mean_over_std(camvid):
    made = task(camvid, data={'folder': str(camvid), 'size': [48, 72], 'mean': [10.0, 20.0, 30.0],
                              'std': [1.0, 2.0, 4.0]})
    seen = []
    made.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].clone()))
    made.network.eval()
    made.validate()
    image = cv2.imread(str(camvid / 'val' / '5.png'))[..., ::-1].astype(np.float32)
    expected = ((image - [10, 20, 30]) / [1, 2, 4]).transpose(2, 0, 1)
    np.testing.assert_allclose(seen[0][0].numpy(), expected, rtol=1e-6)


def test_validation_is_the_mean_iou_of_the_labels(camvid):
    made = task(camvid)

    class Perfect(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.colors = torch.nn.Parameter(torch.from_numpy(COLORS[:, ::-1].copy()).float())

        def forward(self, image):
            return -(image[:, None] - self.colors[None, :, :, None, None]).abs().sum(2)

    made.network = Perfect()
    assert made.validate() == 1.0
    with torch.no_grad():
        made.network.colors[:5] = 1e3  # Five of the classes are never found.
    truth = np.concatenate([street(number)[1].ravel() for number in (5, 6)])
    assert made.validate() < 1 - np.isin(range(5), truth).sum() / np.unique(truth[truth != VOID]).size + 0.01


def test_training_learns_colours_that_stand_for_classes(camvid, tmp_path):
    run(camvid, tmp_path / 'out', epochs=20, loss={'weight_power': 0.0},
        augmentation={'crop': [64, 64], 'scale': [1.0, 1.0], 'brightness': 0, 'contrast': 0, 'saturation': 0})
    history = json.loads((tmp_path / 'out' / 'history.json').read_text())
    assert history[-1]['cross_entropy'] < 0.75 * history[0]['cross_entropy']


def test_the_same_seed_gives_the_same_weights(camvid, tmp_path):
    states = [run(camvid, tmp_path / name, seed=seed).network.state_dict()
              for name, seed in (('a', 3), ('b', 3), ('c', 4))]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
    assert not torch.equal(states[0]['backbone.conv1.weight'], states[2]['backbone.conv1.weight'])


def test_best_weights_are_read_as_published_ones_are(camvid, tmp_path):
    made = run(camvid, tmp_path / 'out', epochs=1)
    arrays = read_weights(tmp_path / 'out' / 'best.pt')
    assert arrays.keys() == made.network.state_dict().keys()


@pytest.mark.parametrize(('fields', 'message'), [
    ({'batch': 9}, r'segmentation: batch: got 9, expected at most the 5 images'),
    ({'network': {'name': 'unet'}}, r"network: name: got 'unet', expected one of espnet, swiftnet\."),
    ({'network': {'name': 'swiftnet', 'depth': 3}}, r"network swiftnet: .*'depth'"),
    ({'augmentation': {'crop': [32]}}, r'augmentation: crop: got \[32\], expected a list of 2 x an integer'),
    ({'augmentation': {'crop': [32, 32], 'scale': [2.0, 0.5]}}, r'augmentation: scale: got \[2\.0, 0\.5\], expected'),
    ({'loss': {'hardest': 0.0}}, r'loss: hardest: got 0\.0, expected a share'),
    ({'loss': {'every': 0}}, r'loss: every: got 0, expected at least 1'),
    ({'loss': {'power': 1}}, r"loss: unknown field 'power'"),
    ({'data': {'folder': 'nowhere'}}, r'nowhere.train\.txt: no such file'),
    ({'data': {'folder': 'nowhere', 'layout': 'kitti'}}, r"layout: got 'kitti', expected one of camvid, cityscapes"),
])
def test_a_wrong_section_is_refused_with_the_field(camvid, fields, message):
    with pytest.raises(ConfigError, match=message):
        task(camvid, **fields)


def test_cityscapes_is_trained_with_its_19_classes(tmp_path):
    for split in ('train', 'val'):
        for kind in ('leftImg8bit', 'gtFine'):
            (tmp_path / kind / split / 'ulm').mkdir(parents=True)
        for number in range(2):
            image, labels = street(number)
            cv2.imwrite(str(tmp_path / 'leftImg8bit' / split / 'ulm' / f'ulm_{number}_leftImg8bit.png'), image)
            cv2.imwrite(str(tmp_path / 'gtFine' / split / 'ulm' / f'ulm_{number}_gtFine_labelIds.png'),
                        np.where(labels == VOID, 0, labels + 7).astype(np.uint8))
    made = task(tmp_path, data={'folder': str(tmp_path), 'layout': 'cityscapes', 'size': [48, 72], 'in_memory': False})
    batch = next(made.batches(0))
    images, labels = batch.images, batch.labels
    assert made.network(images.float()).shape == (2, 19, 32, 32)
    # Label ids 7, 8, 11, 12, 13 and 17 are classes 0 to 5; 9, 10, 14, 15 and 16 are not evaluated.
    assert set(labels.unique().tolist()) <= {0, 1, 2, 3, 4, 5, VOID}
    assert made.loss(batch)['loss'] > 0


def test_distillation_pulls_towards_the_teacher_and_adds_no_weights(camvid, tmp_path):
    run(camvid, tmp_path / 'teacher', epochs=2)
    distill = {'weights': str(tmp_path / 'teacher' / 'best.pt'), 'network': NETWORK, 'temperature': 3.0,
               'hints': [['backbone.upsample.2', 'backbone.upsample.2']]}
    made = task(camvid, seed=1, distill=distill)
    plain = task(camvid, seed=1)
    assert made.network.state_dict().keys() == plain.network.state_dict().keys()
    batch = next(made.batches(0))
    losses = made.loss(batch)
    assert losses['soft_labels'] > 0
    assert losses['hints'] > 0
    torch.testing.assert_close(losses['loss'],
                               losses['cross_entropy'] + losses['soft_labels'] + losses['hints'])
    losses['loss'].backward()
    assert all(each.grad is None for each in made.teacher.network.parameters())
    assert made.network.backbone.conv1.weight.grad.abs().sum() > 0
    # A student that is its teacher has nothing to learn from it.
    made.network.load_state_dict(made.teacher.network.state_dict())
    made.network.eval()
    with torch.no_grad():
        same = made.loss(batch)
    assert same['soft_labels'] == pytest.approx(0, abs=1e-5)
    assert same['hints'] == pytest.approx(0, abs=1e-6)


def test_a_teacher_that_does_not_fit_is_refused(camvid, tmp_path):
    run(camvid, tmp_path / 'teacher', epochs=1)
    distill = {'weights': str(tmp_path / 'teacher' / 'best.pt'), 'network': {**NETWORK, 'width': 0.25}}
    with pytest.raises(ConfigError, match=r'best\.pt: expected the weights of SwiftNet'):
        task(camvid, distill=distill)
    with pytest.raises(ConfigError, match=r"distill: hints: got 'neck', expected a module of the teacher, e\.g\. back"):
        task(camvid, distill={**distill, 'network': NETWORK, 'hints': [['backbone.spp', 'neck']]})


def test_frames_of_video_come_behind_the_labelled_images_and_add_to_the_loss(camvid, tmp_path):
    clip = tmp_path / 'clip'
    clip.mkdir()
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8), (90, 60))
    for number in range(3):
        cv2.imwrite(str(clip / f'{number}.png'), texture[:48, number:number + 72])
    video = {'clips': [str(clip)], 'size': [48, 72], 'pairs': 3, 'factor': 0.5}
    made = task(camvid, video=video)
    batch = next(made.batches(0))
    assert batch.images.shape == (2 + 2 * 3, 3, 32, 32)
    assert batch.labels.shape == (2, 32, 32)
    assert batch.source.shape == (3, 32, 32)
    losses = made.loss(batch)
    assert losses['flicker'] > 0
    torch.testing.assert_close(losses['loss'], losses['cross_entropy'] + 0.5 * losses['flicker'])
    plain = next(task(camvid).batches(0))
    assert torch.equal(batch.images[:2], plain.images), 'video must not change what is drawn of the labelled images'

"""Deformed images: what is moved where, by three ways that agree, seeded by epoch and example."""

from __future__ import annotations

import pickle
import threading
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nnbook import data

FULL = data.Deformation(shift=1.5, rotation=15, scale=0.15, shear=0.2, alpha=34, sigma=4)


@pytest.fixture(scope="module")
def digits():
    return _digits()


def _digits():
    rng = np.random.default_rng(0)
    blobs = gaussian_filter(rng.normal(size=(200, 28, 28)), (0, 2, 2))
    return np.clip(blobs / np.abs(blobs).max() * 3, 0, 1).reshape(200, 784).astype("float32")


def drawn(n, size=(28, 28), dtype="float64"):
    rng = np.random.default_rng(1)
    return rng.random((n, 6)), rng.random((n, 2, *size)).astype(dtype)


# ------------------------------------------------------------------ three ways


def test_three_ways_agree(digits):
    affine, noise = drawn(len(digits))
    exact = FULL.places(affine, noise, (28, 28))
    gathered = data.resample(digits.astype(float), exact, "numpy")
    reference = data.resample(digits.astype(float), exact, "scipy")
    assert np.abs(gathered - reference).max() < 1e-13
    single = FULL.places(affine, noise.astype("float32"), (28, 28))
    sampled = data.resample(digits, single, "mxnet")
    assert sampled.dtype == single.dtype == np.float32
    assert np.abs(sampled - reference).max() < 1e-5
    assert np.abs(reference - digits.astype(float)).max() > 0.5  # something was moved


def test_they_agree_outside_the_image_and_on_its_rim(digits):
    rng = np.random.default_rng(2)
    places = rng.uniform(-3, 31, (50, 2, 28, 28))
    places[:, :, ::2] = np.round(places[:, :, ::2])  # on pixels, and just outside
    found = [
        data.resample(digits[:50].astype(float), places, way) for way in ("numpy", "scipy", "mxnet")
    ]
    assert np.abs(found[0] - found[1]).max() < 1e-13
    assert np.abs(found[0] - found[2]).max() < 1e-5


@pytest.mark.parametrize("size", [(28, 28), (5, 9), (2, 3)])
def test_images_of_other_sizes(size):
    rng = np.random.default_rng(3)
    x = rng.random((4, *size))
    places = rng.uniform(-1, max(size), (4, 2, *size))
    ways = [data.resample(x, places, way) for way in ("scipy", "numpy", "mxnet")]
    assert ways[0].shape == x.shape
    assert np.abs(ways[0] - ways[1]).max() < 1e-13
    assert np.abs(ways[0] - ways[2]).max() < 1e-5


# ------------------------------------------------------------------ what moves where


def only(column, value):
    """Return what is drawn where one number is at an end of its range and the others are 0."""
    affine = np.full((1, 6), 0.5)
    affine[0, column] = value
    return affine


def test_a_rotation_is_that_of_rotate(digits):
    places = data.Deformation(rotation=30).places(only(2, 1.0), None, (28, 28))
    turned = data.resample(digits[:1], places, "scipy")
    assert np.abs(turned - data.rotate(digits[:1], 30.0)).max() < 1e-6


def test_a_shift_is_that_of_shift(digits):
    places = data.Deformation(shift=2.5).places(only(0, 1.0), None, (28, 28))
    places += data.Deformation(shift=1.5).places(only(1, 0.0), None, (28, 28))
    places -= np.mgrid[:28, :28]
    moved = data.resample(digits[:1], places, "scipy")
    assert np.abs(moved - data.shift(digits[:1], rows=2.5, columns=-1.5)).max() < 1e-6


def test_a_scale_makes_larger_about_the_centre():
    places = data.Deformation(scale=0.5).places(only(3, 1.0), None, (11, 11))[0]
    rows, columns = np.mgrid[:11, :11]
    assert places[0] == pytest.approx(5 + (rows - 5) / 1.5)
    assert places[1] == pytest.approx(columns)


def test_a_shear_moves_a_row_by_its_height():
    places = data.Deformation(shear=0.3).places(only(5, 1.0), None, (11, 11))[0]
    rows, columns = np.mgrid[:11, :11]
    assert places[0] == pytest.approx(rows)
    assert places[1] == pytest.approx(columns - 0.3 * (rows - 5))


def test_the_maps_undo_shift_rotation_shear_and_scale_in_this_order():
    deform = data.Deformation(shift=2, rotation=20, scale=0.3, shear=0.4)
    affine = np.random.default_rng(4).random((5, 6))
    places = deform.places(affine, None, (9, 7)).reshape(5, 2, -1)
    down, right, turn, tall, wide, slant = ((2 * affine - 1) * [2, 2, 20, 0.3, 0.3, 0.4]).T
    pixels = np.stack([axis.ravel() for axis in np.mgrid[:9, :7]]).astype(float)
    middle = np.array([[4.0], [3.0]])
    for i in range(5):
        angle = np.radians(turn[i])
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, 0], [slant[i], 1]])
        whole = rotation @ shear @ np.diag([1 + tall[i], 1 + wide[i]])
        back = whole @ (places[i] - middle) + middle + np.array([[down[i]], [right[i]]])
        assert back == pytest.approx(pixels)


@pytest.mark.parametrize("size", [(28, 28), (10, 17)])
def test_the_field_is_noise_smoothed_with_nothing_outside(size):
    affine, noise = np.full((3, 6), 0.5), drawn(3, size)[1]
    found = data.Deformation(alpha=34, sigma=4).places(affine, noise, size)
    smooth = gaussian_filter(2 * noise - 1, (0, 0, 4, 4), mode="constant")
    assert np.abs(found - np.mgrid[: size[0], : size[1]] - 34 * smooth).max() < 1e-12


def displacements(alpha, sigma, size=28):
    """Return the root mean square of the field at every pixel, from the answer to each pixel."""
    impulses = np.full((size * size, 2, size, size), 0.5)
    impulses[:, 0].reshape(size * size, -1)[np.diag_indices(size * size)] += 0.5
    field = data.Deformation(alpha=alpha, sigma=sigma).places(
        np.full((size * size, 6), 0.5), impulses, (size, size)
    )
    answers = field[:, 0] - np.arange(size)[:, None]
    return np.sqrt((answers**2).sum(axis=0) / 3)  # a uniform number in [−1, 1] has variance ⅓


def test_how_far_a_field_moves():
    assert data.rms_displacement(34, 4) == pytest.approx(1.38, abs=0.005)
    assert data.rms_displacement(36, 5) == pytest.approx(1.17, abs=0.005)
    assert data.rms_displacement(38, 6) == pytest.approx(1.03, abs=0.005)
    assert data.rms_displacement(8, 4) == pytest.approx(0.33, abs=0.005)
    found = displacements(34, 4)
    assert found[14, 14] == pytest.approx(1.384, abs=0.001)
    assert found[0, 0] == pytest.approx(0.790, abs=0.001)
    wide = displacements(10, 1.5)
    assert wide[14, 14] == pytest.approx(data.rms_displacement(10, 1.5), rel=1e-3)


def test_the_fast_field_has_that_size():
    affine, noise = drawn(2000, dtype="float32")
    places = data.Deformation(alpha=34, sigma=4).places(np.full_like(affine, 0.5), noise, (28, 28))
    moved = (places - np.mgrid[:28, :28])[:, :, 14, 14]
    assert np.sqrt((moved**2).mean()) == pytest.approx(1.384, rel=0.05)
    assert abs(moved.mean()) < 0.1


def test_nothing_moves_where_nothing_is_asked_for(digits):
    for way in ("numpy", "scipy", "mxnet"):
        assert np.abs(data.Deformation(way=way)(digits, 0) - digits).max() < 1e-5


# ------------------------------------------------------------------ luck


def test_luck_belongs_to_seed_epoch_and_example(digits):
    whole = FULL.of_epoch(digits, epoch=3, seed=7)
    rows = np.random.default_rng(5).permutation(200)
    # The last bits of a matrix product depend on its size.
    assert np.abs(FULL.of_epoch(digits[rows], 3, 7, rows) - whole[rows]).max() < 1e-5
    assert np.abs(FULL.of_epoch(digits[9:10], 3, 7, [9]) - whole[9:10]).max() < 1e-5
    for other in (FULL.of_epoch(digits, 4, 7), FULL.of_epoch(digits, 3, 8)):
        assert (np.abs(other - whole).reshape(200, -1).max(axis=1) > 0.01).all()
    assert (FULL.of_epoch(digits, 3, 7) == whole).all()


def test_no_two_examples_share_their_numbers():
    one = np.repeat(_digits()[:1], 60, axis=0)
    for deform in (data.Deformation(rotation=30), data.Deformation(alpha=34)):
        found = deform.of_epoch(one, 1, 0, np.arange(1000, 1060))
        apart = np.abs(found[:, None] - found[None]).max(axis=2)
        assert (apart[~np.eye(60, dtype=bool)] > 1e-4).all()


def test_the_numbers_of_all_examples_are_uniform_and_unrelated():
    images = np.zeros((500, 28, 28), dtype="float32")
    seen = {}

    class Spy(data.Deformation):
        def places(self, affine, noise, size):
            seen["noise"], seen["affine"] = noise.copy(), affine.copy()
            return super().places(affine, noise, size)

    Spy(rotation=1, alpha=1).of_epoch(images, 1, 0)
    noise = seen["noise"].reshape(500, -1).astype(float)
    assert 0 <= noise.min() < 1e-4
    assert 1 - 1e-4 < noise.max() < 1
    assert noise.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * noise.size))
    neighbours = np.mean((noise[1:] - 0.5) * (noise[:-1] - 0.5)) * 12
    assert abs(neighbours) < 4 / np.sqrt(noise.size)
    assert len(np.unique(seen["affine"])) == 3000


def test_a_generator_goes_on_and_a_seed_starts_anew(digits):
    generator = np.random.default_rng(0)
    first, second = FULL(digits, generator), FULL(digits, generator)
    assert (first == FULL(digits, 0)).all()
    assert (first != second).any()


# ------------------------------------------------------------------ the border


@pytest.mark.parametrize("way", ["numpy", "scipy", "mxnet"])
def test_what_comes_back_is_of_the_same_kind(digits, way):
    from nnbook.runtime import mx
    from nnbook.runtime import np as mnp

    deform = data.Deformation(shift=1, alpha=34, way=way)
    expected = deform(digits[:5], 0)
    assert expected.dtype == np.float32
    square = deform(digits[:5].reshape(5, 28, 28), 0)
    assert (square.reshape(5, 784) == expected).all()
    for device in (mx.cpu(), mx.cpu(1)):
        for array in (mnp.array(digits[:5], ctx=device), mx.nd.array(digits[:5], device)):
            found = deform(array, 0)
            assert type(found) is type(array)
            assert found.ctx == device
            assert np.abs(found.asnumpy() - expected).max() < 1e-6
    whole = deform((255 * digits[:5]).astype("uint8"), 0)
    assert whole.dtype == np.float32
    assert np.abs(whole / 255 - expected).max() < 0.01
    assert deform(digits[:5].astype("float64"), 0).dtype == np.float64


@pytest.mark.parametrize("way", ["numpy", "scipy", "mxnet"])
def test_the_callers_images_stay_as_they_are(digits, way):
    mine = digits.copy()
    data.Deformation(shift=1, alpha=34, way=way)(mine, 0)
    assert (mine == digits).all()
    mine[0, 0] = 1  # and can still be written to


def test_it_can_be_sent(digits):
    again = pickle.loads(pickle.dumps(FULL))
    assert again == FULL
    assert (again(digits, 0) == FULL(digits, 0)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: data.Deformation(shift=-1), "shift is -1"),
        (lambda x: data.Deformation(scale=1), "scale is 1"),
        (lambda x: data.Deformation(sigma=0), "sigma is 0"),
        (lambda x: data.Deformation(way="torch"), "way is 'torch'"),
        (lambda x: data.Deformation()(x[:, :783], 0), "expected images of at least 2 × 2"),
        (lambda x: data.Deformation()([[1.0]], 0), "expected a NumPy or MXNet array"),
        (lambda x: data.Deformation()(x, -1), "rng is -1"),
        (lambda x: data.Deformation().of_epoch(x, -1), "epoch is -1"),
        (lambda x: data.Deformation().of_epoch(x[:2], 1, rows=[0]), "expected 2 whole numbers"),
        (lambda x: data.Deformation().of_epoch(x[:1], 1, rows=[-1]), "of at least 0"),
        (lambda x: data.resample(x, np.zeros((1, 2, 28, 28))), "places have shape"),
        (lambda x: data.resample(x * np.nan, np.zeros((200, 2, 28, 28)), "numpy"), "NaN"),
        (lambda x: data.rms_displacement(1, 0), "sigma is 0"),
    ],
)
def test_what_is_refused(digits, call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call(digits)


def test_it_is_as_fast_as_training():
    # 40 µs an image on a core that is free; the time of this process, since others run beside it.
    x = np.tile(_digits(), (5, 1))
    generator, seconds = np.random.default_rng(0), []
    deform = data.Deformation(
        shift=1.5, rotation=15, scale=0.15, shear=0.2, alpha=34, sigma=4, way="mxnet"
    )
    for _ in range(7):
        start = time.process_time()
        deform(x, generator)
        seconds.append(time.process_time() - start)
    assert min(seconds) / len(x) < 80e-6


# ------------------------------------------------------------------ the worker


def test_the_next_is_made_while_one_is_used():
    begun, used = [], []
    main = threading.get_ident()

    def make(k):
        assert threading.get_ident() != main
        begun.append(k)
        return k * k

    for k, square in enumerate(data.ahead(make, range(5))):
        deadline = time.monotonic() + 10
        while len(begun) < min(k + 2, 5) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(begun) == min(k + 2, 5)  # one more than is used, and no further
        used.append(square)
    assert used == [0, 1, 4, 9, 16]


def test_an_exception_comes_in_its_place():
    def make(k):
        if k == 2:
            raise RuntimeError("the third")
        return k

    found = []
    with pytest.raises(RuntimeError, match="the third"):
        found.extend(data.ahead(make, range(5)))
    assert found == [0, 1]


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    values = data.ahead(lambda k: k, iter(range(1000)))
    assert next(values) == 0
    values.close()
    assert threading.active_count() == before


def prepared(digits, **options):
    y = np.arange(200)
    return data.prepared(digits, y, 64, augment=FULL, seed=3, **options)


def test_minibatches_are_the_same_with_and_without_a_worker(digits):
    for epoch in (1, 2):
        alone = list(prepared(digits, worker=False).of_epoch(epoch))
        for (x, y), (a, b) in zip(prepared(digits).of_epoch(epoch), alone, strict=True):
            assert (x == a).all()
            assert (y == b).all()


def test_an_epoch_has_every_example_with_its_own_luck(digits):
    batches = prepared(digits)
    first, second = list(batches()), list(batches())
    assert (len(first), len(batches), batches.epoch) == (4, 4, 2)
    whole = FULL.of_epoch(digits, 1, 3)
    rows = np.concatenate([y for _, y in first])
    assert sorted(rows) == list(range(200))
    assert np.abs(np.concatenate([x for x, _ in first]) - whole[rows]).max() < 1e-5
    assert (np.concatenate([y for _, y in second]) != rows).any()


def test_minibatches_by_a_function_and_mixed(digits):
    rows = data.smooth_labels(np.arange(200) % 10, 10, smoothing=0)
    batches = data.prepared(
        digits, rows, 50, augment=lambda x, rng: x + rng.random(), mix=data.mixup(1.0), seed=1
    )
    x, y = next(iter(batches()))
    assert y.sum(axis=1) == pytest.approx(np.ones(50), rel=1e-6)
    assert ((y > 0.01).sum(axis=1) == 2).any()
    assert x.min() > 0  # what was added


def test_what_prepared_refuses(digits):
    with pytest.raises(ValueError, match="200, 3"):
        data.prepared(digits, np.arange(3))
    with pytest.raises(TypeError, match="augment is 3"):
        data.prepared(digits, np.arange(200), augment=3)
    with pytest.raises(ValueError, match="batch_size is 0"):
        data.prepared(digits, np.arange(200), 0)


# ------------------------------------------------------------------ targets between classes


@pytest.mark.parametrize("one_share", [True, False])
def test_mixtures(one_share):
    x, y = np.eye(400), np.eye(400)
    mixed, targets = data.mixup(0.4, one_share)(x, y, 0)
    assert mixed == pytest.approx(targets)
    assert mixed.sum(axis=1) == pytest.approx(np.ones(400))
    shares = np.diag(mixed)[np.diag(mixed) < 1]
    assert (np.ptp(shares) < 1e-12) == one_share
    if not one_share:  # of Beta(α, α): mean ½, variance 1 / (4 (2α + 1))
        assert shares.mean() == pytest.approx(0.5, abs=0.08)
        assert shares.var() == pytest.approx(1 / (4 * 1.8), rel=0.2)


def test_mixtures_of_class_numbers_are_refused():
    with pytest.raises(ValueError, match="smooth_labels"):
        data.mixup()(np.eye(3), np.arange(3), 0)


def test_softened_labels():
    found = data.smooth_labels(np.array([2, 0]), 4, smoothing=0.2)
    assert found == pytest.approx(np.array([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]))
    with pytest.raises(ValueError, match="a label 4"):
        data.smooth_labels(np.array([4]), 4)
    with pytest.raises(ValueError, match="smoothing is 1"):
        data.smooth_labels(np.array([1]), 4, 1.0)


# ------------------------------------------------------------------ in training


def learn(digits, train, **options):
    from nnbook import layers, losses, optim, training
    from nnbook.parameters import ParameterVector

    net = layers.mlp(784, [8], 10, "tanh", seed=1)
    history = training.fit(
        net,
        train,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.1),
        batch_size=64,
        epochs=2,
        seed=3,
        progress=False,
        **options,
    )
    return history, ParameterVector(net).theta.asnumpy()


def test_fit_trains_on_deformed_images_that_follow_its_seed(digits):
    seen = []

    def spied(x, rng):
        seen.append((x.copy(), FULL(x, rng)))
        return seen[-1][1]

    labels = np.arange(200) % 10
    history, theta = learn(digits, (digits, labels), augment=FULL)
    again, same = learn(digits, (digits, labels), augment=spied)
    assert (theta == same).all()
    assert history[-1]["train_loss"] == again[-1]["train_loss"]
    seen = seen[-8:]  # before training, fit tries it on a few
    plain = sorted(x.sum() for given, _ in seen[:4] for x in given)
    assert plain == pytest.approx(sorted(digits.sum(axis=1)), rel=1e-5)
    assert all(np.abs(given - made).max() > 0.1 for given, made in seen)
    assert (learn(digits, (digits, labels))[1] != theta).any()


def test_fit_takes_what_a_worker_prepares(digits):
    labels = np.arange(200) % 10
    found = []
    for worker in (True, False):
        batches = data.prepared(digits, labels, 64, augment=FULL, seed=3, worker=worker)
        history, theta = learn(digits, batches)
        assert batches.epoch >= 2
        assert len(history) == 2
        found.append(theta)
    assert (found[0] == found[1]).all()


def test_fit_takes_mixtures(digits):
    rows = data.smooth_labels(np.arange(200) % 10, 10, smoothing=0)
    history, _ = learn(digits, data.prepared(digits, rows, 64, mix=data.mixup(0.4), seed=3))
    assert history[-1]["train_loss"] < history[0]["train_loss"]

"""What MXNet sees of NumPy: the names that have gone, and numbers as text, on every NumPy."""

import collections
import json
import subprocess
import sys
import threading
import warnings

import numpy as onp
import pytest

from nnbook.gluon import old_numpy
from nnbook.gluon.old_numpy import text
from nnbook.runtime import mx, np, npx

VIEW = old_numpy.view()
TWO, THREE = onp.int64(2), onp.int32(3)


# ------------------------------------------------------------------------------------- the names


@pytest.mark.parametrize(
    ("names", "value"),
    [
        ("bool", bool),
        ("int", int),
        ("float", float),
        ("object", object),
        ("float_", onp.float64),
        ("complex_", onp.complex128),
        ("string_", onp.bytes_),
        ("unicode_", onp.str_),
        ("Inf Infinity PINF infty", float("inf")),
        ("NINF", float("-inf")),
        ("PZERO", 0.0),
    ],
)
def test_values_of_the_old_names(names, value):
    assert all(getattr(VIEW, name) == value for name in names.split())


def test_not_a_number_and_the_negative_zero():
    assert VIEW.NAN != VIEW.NAN
    assert VIEW.NaN != VIEW.NaN
    assert str(VIEW.NZERO) == "-0.0"
    assert VIEW.compat.basestring is str


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a NumPy that still has them
def test_functions_of_the_old_names():
    x = onp.array([[3.0, 1.0], [2.0, 0.0]])
    assert VIEW.alltrue([1, 1]) and not VIEW.alltrue([1, 0])  # noqa: PT018
    assert VIEW.sometrue([1, 0]) and not VIEW.sometrue([0, 0])  # noqa: PT018
    assert VIEW.product([2, 3]) == 6
    assert VIEW.cumproduct([2, 3]).tolist() == [2, 6]
    assert VIEW.round_(2.567, 1) == 2.6
    assert VIEW.row_stack([[1], [2]]).shape == (2, 1)
    assert VIEW.trapz([1.0, 2.0, 3.0]) == 4
    assert VIEW.in1d(x, [1.0, 2.0]).tolist() == [False, True, True, False]  # flat, unlike isin
    assert VIEW.in1d([1, 2], [1], invert=True).tolist() == [False, True]
    assert VIEW.msort(x).tolist() == [[2, 0], [3, 1]]


@pytest.mark.parametrize("name", ["mirr", "npv", "pmt", "ppmt", "pv", "rate"])
def test_functions_of_finance_say_where_they_went(name):
    with pytest.raises(RuntimeError, match=rf"{name}.*numpy.financial"):
        getattr(VIEW, name)(1)


def test_all_else_is_numpy_itself(monkeypatch):
    assert VIEW.ndarray is onp.ndarray
    assert VIEW.random is onp.random
    assert VIEW.testing is onp.testing
    assert isinstance(onp.zeros(1), VIEW.ndarray)
    monkeypatch.setattr(onp, "got_later", 5, raising=False)
    assert VIEW.got_later == 5
    with pytest.raises(AttributeError, match="no_such_name"):
        VIEW.no_such_name  # noqa: B018


def test_how_mxnet_imports_it():
    space = {"__builtins__": old_numpy.builtins("mxnet.metric")}
    exec(
        "import numpy as a, numpy\n"
        "import numpy.random as b\n"
        "import numpy.linalg\n"
        "from numpy import float_, int as whole\n"
        "from numpy.linalg import norm\n"
        "from distutils.version import LooseVersion, StrictVersion\n"
        "def inside():\n    import numpy; return numpy\n",
        space,
    )
    assert space["a"] is space["numpy"] is space["inside"]() is VIEW
    assert space["b"] is onp.random
    assert (space["float_"], space["whole"]) == (onp.float64, int)
    assert space["norm"] is onp.linalg.norm
    newer = space["LooseVersion"]
    assert newer("1.17") < newer("1.23.5") < newer("1.26.0rc1") < newer("2.0.0") < newer("2.10.1")
    assert space["StrictVersion"]("1.6.0") <= space["StrictVersion"](onp.__version__)


def test_mxnet_finds_the_names():
    assert mx.np.bool is bool
    assert mx.np.inf == mx.np.PINF
    x = np.arange(6).reshape(2, 3)
    assert x[True].shape == (1, 2, 3)
    assert x[False].shape == (0, 2, 3)
    assert np.full((2,), True).dtype == onp.bool_
    mx.test_utils.assert_almost_equal(x, x)
    assert np.pad(np.ones((1, 1)), ((1, 1), (1, 1)), mode="constant").sum() == 1
    assert onp.mean(np.arange(4.0)) == 1.5  # by NumPy's protocol, handed to MXNet
    assert isinstance(onp.mean(np.arange(4.0)), np.ndarray)


def test_numpy_stays_as_it_was():
    program = (
        "import numpy, sys, warnings\n"
        "names, options = dict(vars(numpy)), numpy.get_printoptions()\n"
        "filters, written = list(warnings.filters), repr([numpy.float64(1), numpy.int64(5)])\n"
        "methods = dir(numpy.ndarray)\n"
        "import nnbook\n"
        "from nnbook.runtime import mx, np\n"
        "net = mx.gluon.nn.Dense(numpy.int64(2)); net.initialize(); net(np.ones((2, 3)))\n"
        "np.zeros((numpy.int64(2), 3)); mx.nd.zeros((numpy.int64(2), 3))\n"
        "new = vars(numpy).keys() - names.keys()\n"
        "assert all(f'numpy.{name}' in sys.modules for name in new), new  # what scipy loads\n"
        "assert all(vars(numpy)[name] is value for name, value in names.items())\n"
        "assert options == numpy.get_printoptions()\n"
        "assert written == repr([numpy.float64(1), numpy.int64(5)])\n"
        "assert methods == dir(numpy.ndarray)\n"
        "assert filters == warnings.filters\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -------------------------------------------------------------------------------------- the text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((TWO, 3), "(2, 3)"),
        ((TWO,), "(2,)"),
        ([TWO, [onp.uint8(1), None]], "[2, [1, None]]"),
        ((onp.float32(0.1), onp.float64(0.1), onp.float16(0.1)), "(0.1, 0.1, 0.1)"),
        ((onp.float64("nan"), onp.float32("-inf")), "(nan, -inf)"),
        ((onp.bool_(True), True), "(True, True)"),
        ((onp.str_("a"), "np.x"), "('a', 'np.x')"),
        ((onp.complex128(1 + 2j),), "((1+2j),)"),
        ((), "()"),
        (TWO, "2"),
        (onp.float32(0.1), "0.1"),
        (True, "True"),
        (None, "None"),
        ("(np.int64(5),)", "(np.int64(5),)"),
        (onp.dtype("float32"), "float32"),
    ],
)
def test_text(value, expected):
    assert text(value) == expected
    assert type(text(value)) is str


def test_text_stands_for_str():
    assert text() == ""
    assert text(b"a", "ascii") == "a"
    assert isinstance("a", text)
    assert not isinstance(b"a", text)
    assert issubclass(str, text)
    assert text.join(",", "ab") == "a,b"
    Size = collections.namedtuple("Size", "width")
    assert text(Size(3)) == str(Size(3))


def test_creation_with_sizes_from_numpy():
    shape = (TWO, THREE)
    for made in (
        np.zeros(shape),
        np.ones(shape),
        np.full(shape, onp.float64(2)),
        np.empty(shape),
        np.arange(TWO * THREE).reshape(shape),
        np.random.uniform(size=shape),
        np.random.normal(size=shape),
        np.broadcast_to(np.ones(THREE), shape),
        np.tile(np.ones(THREE), (TWO, 1)),
        mx.nd.zeros(shape).as_np_ndarray(),
        mx.nd.ones(shape).as_np_ndarray(),
        mx.nd.full(shape, onp.float32(2)).as_np_ndarray(),
        mx.nd.random.uniform(shape=shape).as_np_ndarray(),
        mx.nd.arange(6).reshape(shape).as_np_ndarray(),
    ):
        assert made.shape == (2, 3)
    assert np.ones(THREE).shape == np.zeros(THREE).shape == (3,)
    assert np.eye(TWO, THREE).shape == (2, 3)
    assert np.linspace(onp.float32(0), onp.float64(1), TWO).tolist() == [0, 1]


def test_selection_with_numbers_from_numpy():
    x = np.arange(12).reshape(4, 3)
    assert x[TWO].tolist() == [6, 7, 8]
    assert x[TWO, THREE - 1].item() == 8
    assert x[TWO:THREE].tolist() == [[6, 7, 8]]
    assert x[: onp.int64(3) : TWO, onp.int64(1) :].tolist() == [[1, 2], [7, 8]]
    x[TWO:, : onp.int64(1)] = onp.float64(-1)
    assert x[:, 0].tolist() == [0, 3, -1, -1]
    old = x.as_nd_ndarray()
    assert old[TWO:THREE].shape == (1, 3)
    assert mx.nd.slice(old, begin=(onp.int64(1), None), end=(THREE, TWO)).shape == (2, 2)
    assert old.slice_axis(axis=onp.int64(0), begin=TWO, end=None).shape == (2, 3)


def test_operators_with_numbers_from_numpy():
    x = np.arange(12.0).reshape(4, 3)
    assert [part.shape for part in np.split(x, tuple(onp.array([1, 3])))] == [
        (1, 3),
        (2, 3),
        (1, 3),
    ]
    assert [part.shape for part in np.split(x, TWO)] == [(2, 3)] * 2
    assert x.sum(axis=(onp.int64(0), onp.int64(1))).item() == 66
    assert x.transpose(tuple(onp.array([1, 0]))).shape == (3, 4)
    assert np.clip(x, onp.float32(1), onp.float64(2)).max() == 2
    assert np.concatenate([x, x], axis=onp.int64(1)).shape == (4, 6)
    assert np.roll(x, tuple(onp.array([1, 1])), axis=(onp.int64(0), onp.int64(1)))[0, 0] == 11
    assert np.resize(x, tuple(onp.array([2, 2]))).shape == (2, 2)  # a custom operator reads it
    old = x.as_nd_ndarray()
    assert (old * onp.float64(2) + onp.float32(1)).asnumpy()[0].tolist() == [1, 3, 5]
    assert mx.nd.clip(old, a_min=onp.float64(1), a_max=onp.float32(2)).max().asscalar() == 2
    assert mx.nd.split(old, num_outputs=onp.int64(2), axis=onp.int64(0))[1].shape == (2, 3)
    halves = mx.gluon.utils.split_and_load(x, [mx.cpu(0), mx.cpu(0)], batch_axis=onp.int64(0))
    assert [half.shape for half in halves] == [(2, 3), (2, 3)]
    thirds = mx.gluon.utils.split_data(x[:, 0], THREE, even_split=False)
    assert sum(third.shape[0] for third in thirds) == 4


@pytest.mark.parametrize("hybridize", [False, True])
def test_layers_with_sizes_from_numpy(hybridize, tmp_path):
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Conv2D(onp.int64(4), (THREE, THREE), padding=(onp.int64(1),) * 2),
        mx.gluon.nn.BatchNorm(epsilon=onp.float64(1e-5), momentum=onp.float32(0.9)),
        mx.gluon.nn.MaxPool2D((TWO, TWO), strides=(TWO, TWO)),
        mx.gluon.nn.Dropout(onp.float64(0.5)),
        mx.gluon.nn.Dense(onp.int64(5), in_units=onp.int64(16)),
        mx.gluon.nn.LeakyReLU(onp.float32(0.1)),
    )
    net.initialize(mx.init.Xavier(magnitude=onp.float64(2)))
    if hybridize:
        net.hybridize()
    x = np.ones((2, 1, 4, 4))
    assert net(x).shape == (2, 5)
    if hybridize:
        net.export(str(tmp_path / "net"))
        assert "np." not in (tmp_path / "net-symbol.json").read_text()
        files = [str(tmp_path / f"net-{part}") for part in ("symbol.json", "0000.params")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a type that it cannot decide
            again = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])
        onp.testing.assert_allclose(again(x).asnumpy(), net(x).asnumpy(), rtol=1e-6)


def test_recurrent_layers_and_embeddings_with_sizes_from_numpy():
    lstm = mx.gluon.rnn.LSTM(onp.int64(4), num_layers=TWO)
    lstm.initialize()
    assert lstm(np.ones((5, 2, 3))).shape == (5, 2, 4)
    embedding = mx.gluon.nn.Embedding(onp.int64(7), onp.int64(3))
    embedding.initialize()
    assert embedding(np.array([1, 2])).shape == (2, 3)


def test_symbols_with_numbers_from_numpy():
    with mx.AttrScope(group="4"):
        x = mx.sym.Variable("x", shape=(TWO, THREE), lr_mult=onp.float64(0.5), __sizes__=(TWO,))
    assert x.attr("__shape__") == "(2, 3)"
    assert x.attr("__lr_mult__") == "0.5"
    assert x.attr("__sizes__") == "(2,)"
    y = mx.sym.reshape(x, shape=(THREE, TWO), name="y") * onp.float32(0.5)
    assert "np." not in y.tojson()
    assert json.loads(y.tojson())["nodes"][1]["attrs"]["shape"] == "(3, 2)"
    _, shapes, _ = y.infer_shape()
    assert shapes == [(3, 2)]


@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "rmsprop", "adagrad", "ftrl", "signum"])
def test_optimizers_with_rates_from_numpy(name):
    def end(kind):
        w = [np.ones((3,)), np.full((2,), 2.0)]
        optimizer = mx.optimizer.create(
            name, learning_rate=kind(0.125), wd=kind(0.0625), rescale_grad=kind(0.5)
        )
        updater = mx.optimizer.get_updater(optimizer)
        for _ in range(3):
            updater([0, 1], [v * 2 for v in w], w)
        return [v.tolist() for v in w]

    assert end(onp.float64) == end(onp.float32) == end(float)


def test_a_trainer_with_rates_from_numpy():
    net = mx.gluon.nn.Dense(1, in_units=2)
    net.initialize(mx.init.One())
    trainer = mx.gluon.Trainer(
        net.collect_params(), "sgd", {"learning_rate": onp.float64(0.5), "wd": onp.float32(0)}
    )
    trainer.set_learning_rate(onp.float32(0.25))
    with mx.autograd.record():
        loss = net(np.ones((1, 2))).sum()
    loss.backward()
    trainer.step(onp.int64(1))
    assert net.weight.data().tolist() == [[0.75, 0.75]]


def test_iterators_and_records_of_mxnet(tmp_path):
    onp.savetxt(tmp_path / "x.csv", onp.arange(6).reshape(3, 2), delimiter=",")
    rows = mx.io.CSVIter(
        data_csv=str(tmp_path / "x.csv"), data_shape=(TWO,), batch_size=onp.int64(1)
    )
    assert [batch.data[0].asnumpy().ravel().tolist() for batch in rows] == [[0, 1], [2, 3], [4, 5]]
    packed = mx.recordio.pack(mx.recordio.IRHeader(0, [1.0, 2.0], 7, 0), b"body")
    header, body = mx.recordio.unpack(packed)
    assert (header.label.tolist(), header.id, body) == ([1, 2], 7, b"body")


def test_text_in_threads():
    failed = []

    def work():
        npx.set_np()
        for _ in range(200):
            if np.ones((TWO, THREE)).shape != (2, 3) or "np." in text((TWO,)):
                failed.append(True)

    before = repr(onp.float64(1)), onp.get_printoptions()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert (repr(onp.float64(1)), onp.get_printoptions()) == before

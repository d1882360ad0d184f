"""`NetClassifier` and `NetRegressor` are estimators as scikit-learn wants them."""

import copy
import pickle
import subprocess
import sys

import numpy as onp
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_classification
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from nnbook import models, optim
from nnbook.estimators import NetClassifier, NetRegressor
from nnbook.runtime import mx, np

#: Estimators, and the checks that they fail, with the reason why that is right.
ESTIMATORS = [
    (NetClassifier(random_state=0), {}),
    (NetRegressor(random_state=0), {}),
    (
        NetClassifier([20], "tanh", early_stopping=True, random_state=0),
        {
            "check_sample_weight_equivalence_on_dense_data": (
                "what is held out is drawn by rows: an example that stands there twice may be "
                "trained on and held out"
            )
        },
    ),
]


def name_of(part):
    """Name a case by its estimator and its check."""
    return part.func.__name__ if hasattr(part, "func") else repr(part)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        case
        for estimator, exceptions in ESTIMATORS
        for case in estimator_checks_generator(
            estimator, expected_failed_checks=exceptions, mark="xfail"
        )
    ],
    ids=name_of,
)
def test_check_estimator(estimator, check):
    check(estimator)


IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"epochs": 20, "learning_rate": 0.01, "random_state": 0}


@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged")  # NumPy 1.23 in scikit-learn
def test_a_classifier_in_a_pipeline_in_a_grid_search():
    x, y = CANCER
    names = onp.array(["malignant", "benign"])[y]
    pipeline = make_pipeline(StandardScaler(), NetClassifier(**QUICK))
    grid = {"netclassifier__units": [(), (8,)], "netclassifier__l2": [0.0, 0.01]}
    found = GridSearchCV(pipeline, grid, cv=3).fit(x[:300], names[:300])
    assert set(found.best_params_) == set(grid)
    assert found.score(x[300:], names[300:]) > 0.93
    assert found.predict_proba(x[300:]).shape == (269, 2)


def test_a_search_on_two_processes_finds_the_same():
    x, y = IRIS
    grid = {"units": [(4,), (8,)]}
    one, two = (
        GridSearchCV(NetClassifier(**QUICK), grid, cv=2, n_jobs=jobs).fit(x, y) for jobs in (1, 2)
    )
    onp.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )


def test_cross_validation_of_a_regressor():
    x, y = DIABETES
    found = cross_val_score(NetRegressor([16], l2=0.1, **QUICK), x, y, cv=3)
    assert found.mean() > 0.4  # a linear model has .49


def test_predictions_are_in_the_units_of_the_targets():
    x, y = DIABETES
    net = NetRegressor([], **QUICK).fit(x, y)
    far = NetRegressor([], **QUICK).fit(x, 1e6 + 1000 * y)
    onp.testing.assert_allclose(far.predict(x), 1e6 + 1000 * net.predict(x), rtol=1e-5)


@pytest.mark.parametrize("shape", [(442,), (442, 1), (442, 2)])
def test_predictions_have_the_shape_of_the_targets(shape):
    x, y = DIABETES
    y = onp.resize(y, shape) if len(shape) == 1 else onp.stack([y, -y], axis=1)[:, : shape[1]]
    assert NetRegressor([4], **QUICK | {"epochs": 1}).fit(x, y).predict(x).shape == shape


def test_a_linear_regressor_is_least_squares():
    x, y = DIABETES
    net = NetRegressor([], epochs=300, batch_size=442, optimizer="momentum", learning_rate=0.1)
    from sklearn.linear_model import LinearRegression

    reference = LinearRegression().fit(x, y)
    assert net.set_params(random_state=0).fit(x, y).score(x, y) == pytest.approx(
        reference.score(x, y), abs=2e-3
    )


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy"])
def test_two_classes_by_two_outputs_or_by_one(loss):
    x, y = CANCER
    net = NetClassifier([8], loss=loss, **QUICK).fit(x[:300], y[:300])
    assert net.score(x[300:], y[300:]) > 0.93
    proba = net.predict_proba(x)
    onp.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    onp.testing.assert_array_equal(net.classes_[proba.argmax(axis=1)], net.predict(x))
    assert net.outputs(x).shape == (569, 2 if loss.startswith("soft") else 1)


def test_a_hinge_has_no_probabilities():
    x, y = IRIS
    net = NetClassifier([8], loss="hinge", **QUICK)
    assert not hasattr(net, "predict_proba")
    assert net.fit(x, y).score(x, y) > 0.9


@pytest.mark.parametrize("classes", [["no", "yes"], [1, 2], [False, True]])
def test_the_model_keeps_the_classes(classes, tmp_path):
    x, y = CANCER
    y = onp.array(classes)[y]
    net = NetClassifier([8], **QUICK).fit(x, y)
    models.save(tmp_path / "it.nnbook", net.model_)
    again = models.load(tmp_path / "it.nnbook")
    assert net.score(x, y) > 0.9
    assert net.predict(x).dtype == y.dtype
    assert again.predict(x).tolist() == net.predict(x).tolist()


def margin(outputs, targets):
    """A hinge, which takes −1 and 1."""
    return np.maximum(1 - outputs.reshape(-1) * targets.reshape(-1), 0)


margin.targets = "signs"


def test_signs():
    x, y = CANCER
    names = onp.array(["no", "yes"])[y]
    net = NetClassifier([8], loss=margin, **QUICK).fit(x, names)
    assert net.score(x, names) > 0.95
    assert net.model_.predict(x).tolist() == net.predict(x).tolist()
    assert not hasattr(net, "predict_proba")


def test_class_weights_find_the_rare_class():
    x, y = make_classification(
        1500, 10, n_informative=4, weights=[0.95], flip_y=0.03, class_sep=0.7, random_state=1
    )
    parts = train_test_split(x, y, stratify=y, random_state=0)
    plain, balanced = (
        NetClassifier([8], class_weight=weight, **QUICK).fit(parts[0], parts[2])
        for weight in (None, "balanced")
    )
    recalls = [recall_score(parts[3], net.predict(parts[1])) for net in (plain, balanced)]
    assert recalls[1] > recalls[0] + 0.2
    scores = [balanced_accuracy_score(parts[3], n.predict(parts[1])) for n in (plain, balanced)]
    assert scores[1] > scores[0]


@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
def test_a_weight_of_two_is_an_example_twice(kind):
    rng = onp.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    times = rng.integers(0, 4, 40)
    net = kind([5], batch_size=10_000, epochs=30, learning_rate=0.05, random_state=0)
    weighted = clone(net).fit(x, y, sample_weight=times)
    repeated = clone(net).fit(onp.repeat(x, times, axis=0), onp.repeat(y, times))
    onp.testing.assert_allclose(weighted.outputs(x), repeated.outputs(x), rtol=1e-3, atol=1e-4)
    ignored = clone(net).fit(x, y)
    assert abs(ignored.outputs(x) - repeated.outputs(x)).max() > 0.02


def test_early_stopping_keeps_the_best_epoch():
    x, y = DIABETES
    net = NetRegressor([50], epochs=400, learning_rate=0.01, early_stopping=True, patience=5)
    net.set_params(random_state=3).fit(x, y)
    epochs, best = len(net.history_), int(net.history_["val_loss"].argmin()) + 1
    assert epochs == best + 5 < 400


def test_the_state_decides_everything():
    x, y = IRIS
    first, again, other = (
        NetClassifier([8], dropout=0.2, **QUICK | {"random_state": s, "epochs": 3}).fit(x, y)
        for s in (0, 0, 1)
    )
    onp.testing.assert_array_equal(first.outputs(x), again.outputs(x))
    assert abs(first.outputs(x) - other.outputs(x)).max() > 0.01


class Wide(mx.gluon.HybridBlock):
    """A network of somebody's own class."""

    def __init__(self, n_out):
        super().__init__()
        self.hidden, self.out = mx.gluon.nn.Dense(12), mx.gluon.nn.Dense(n_out)

    def hybrid_forward(self, F, x):
        return self.out(F.np.tanh(self.hidden(x)))


def build_own(n_in, n_out, seed):
    mx.random.seed(seed)
    net = Wide(n_out)
    net.initialize()
    return net


@pytest.mark.parametrize("build", [None, build_own])
@pytest.mark.parametrize("copied", ["pickle", "deepcopy"])
def test_a_fitted_estimator_is_pickled(build, copied):
    x, y = IRIS
    net = NetClassifier([8], build=build, **QUICK | {"epochs": 2}).fit(x, y)
    twin = pickle.loads(pickle.dumps(net)) if copied == "pickle" else copy.deepcopy(net)
    onp.testing.assert_array_equal(twin.outputs(x), net.outputs(x))
    assert twin.history_["train_loss"].tolist() == net.history_["train_loss"].tolist()


def test_its_model_is_saved_and_loaded(tmp_path):
    x, y = IRIS
    net = NetClassifier([8], **QUICK).fit(x, y)
    models.save(tmp_path / "iris.nnbook", net.model_)
    found = models.load(tmp_path / "iris.nnbook")
    onp.testing.assert_array_equal(found.predict(x), net.predict(x))
    onp.testing.assert_array_equal(found.predict_proba(x), net.predict_proba(x))


def test_a_rule_and_a_loss_of_ones_own():
    def absolute(outputs, targets):
        return abs(outputs - targets).mean(axis=1)

    x, y = DIABETES
    rule = optim.momentum(0.05)
    net = NetRegressor([8], loss=absolute, optimizer=rule, epochs=20, random_state=0)
    assert clone(net).optimizer == rule
    assert net.fit(x, y).score(x, y) > 0.4


def test_column_names_are_kept():
    pandas = pytest.importorskip("pandas")
    x, y = IRIS
    table = pandas.DataFrame(x, columns=list("abcd"))
    net = NetClassifier([4], **QUICK | {"epochs": 1}).fit(table, y)
    assert net.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        net.predict(table[list("dcba")])


def test_wrong_settings():
    x, y = IRIS
    two = y < 2
    for settings, error, message in [
        ({"loss": "squared_error"}, ValueError, r"does not say that it takes class labels"),
        ({"loss": "sigmoid_cross_entropy"}, ValueError, "y has 3 classes; expected softmax"),
        ({"optimizer": optim.sgd(0.1), "learning_rate": 0.1}, ValueError, "expected the optimizer"),
        ({"optimizer": "adamm"}, ValueError, "optimizer is 'adamm'"),
        ({"units": [0]}, ValueError, "units is 0"),
        ({"activation": "rely"}, ValueError, "activation is 'rely'"),
        ({"dtype": "int8"}, ValueError, "dtype is 'int8'"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"standardize": "no"}, TypeError, "standardize is 'no'"),
        ({"l2": -1}, ValueError, "l2 is -1"),
        ({"early_stopping": True, "validation_fraction": 2}, ValueError, "validation_fraction"),
        ({"clip_norm": 0}, ValueError, "0"),
    ]:
        with pytest.raises(error, match=message):
            NetClassifier(**settings).fit(x, y)
    with pytest.raises(ValueError, match="takes classes; expected one of real numbers"):
        NetRegressor(loss="softmax_cross_entropy").fit(x, y)
    with pytest.raises(ValueError, match="one class of any weight"):
        NetClassifier().fit(x[two], y[two], sample_weight=(y[two] == 0).astype(float))
    with pytest.raises(ValueError, match="at least 0"):
        NetClassifier().fit(x, y, sample_weight=onp.full(150, -1.0))


def test_without_scikit_learn_the_extra_is_named():
    program = """
import sys

class Without:
    def find_spec(self, name, *rest):
        if name == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name=name)

sys.meta_path.insert(0, Without())
from nnbook import estimators
try:
    estimators.NetClassifier
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 'pip install "nnbook[estimators]"' in done.stdout, done.stderr

"""Auto-encoders, Boltzmann machines, sparse codes and linear pieces against what is known."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from nnbook import checks, data, losses, objective, optim, pretraining, training
from nnbook.pretraining import CD, PCD, RBM, AutoEncoder, Exact, SparseCoding

BARS = pretraining.bars_and_stripes(3)


def machine():
    """The 9 × 6 machine whose numbers are known: W_ij = sin(1 + i + 2j), 0-based."""
    i, j = np.arange(9), np.arange(6)
    weights = np.sin(1 + i[None, :] + 2 * j[:, None])
    return RBM(weights, np.sin(j) / 2, np.cos(i) / 2)


def random_machine(visible, hidden, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return RBM(
        scale * rng.normal(size=(hidden, visible)), *(rng.normal(size=n) for n in (hidden, visible))
    )


def states(n):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def differences(loss, theta, h=1e-6):
    found = np.zeros(len(theta))
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = h
        found[k] = (loss(theta + step) - loss(theta - step)) / (2 * h)
    return found


def same(a, b):
    return np.array_equal(a, b)


# ---------------------------------------------------------------- Boltzmann machines, exactly


def test_the_known_machine():
    rbm = machine()
    assert rbm.log_partition() == pytest.approx(12.937613844898, abs=5e-13)
    # The other sum, over the visible layer.
    turned = RBM(rbm.weights.T, rbm.visible_bias, rbm.hidden_bias)
    assert turned.log_partition() == pytest.approx(12.937613844898, abs=5e-13)
    assert rbm.log_probability(BARS).mean() == pytest.approx(-7.375162309, abs=5e-10)
    exact, expected = rbm.gradient(BARS), CD(1).expected(rbm, BARS)
    assert exact[0] == pytest.approx(-0.361971653, abs=5e-10)
    assert expected[0] == pytest.approx(-0.214649200, abs=5e-10)
    weights = slice(0, 54)
    assert cosine(exact[weights], expected[weights]) == pytest.approx(0.99342, abs=5e-6)
    ratio = np.linalg.norm(expected[weights]) / np.linalg.norm(exact[weights])
    assert ratio == pytest.approx(0.6068, abs=5e-5)


def test_bars_and_stripes():
    assert BARS.shape == (14, 9)
    assert len(np.unique(BARS, axis=0)) == 14
    images = BARS.reshape(-1, 3, 3)
    assert all((image == image[:1]).all() or (image == image[:, :1]).all() for image in images)
    assert -np.log(14) == pytest.approx(-2.639057, abs=5e-7)


def test_the_reference_likelihoods_of_the_digits():
    bits = (data.load_digits_8x8()[0] * 16 > 8).astype(float)
    uniform = RBM(np.zeros((1, 64)), np.zeros(1), np.zeros(64))
    assert uniform.log_probability(bits).mean() == pytest.approx(-44.3614, abs=5e-5)
    p = np.clip(bits.mean(axis=0), 1e-12, 1 - 1e-12)
    alone = RBM(np.zeros((1, 64)), np.zeros(1), np.log(p / (1 - p)))
    assert alone.log_probability(bits).mean() == pytest.approx(-24.4247, abs=5e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6), st.floats(0.1, 4))
def test_everything_exact_against_the_sum_over_all_pairs(visible, hidden, seed, scale):
    rbm = random_machine(visible, hidden, seed, scale)
    v, h = states(visible), states(hidden)
    pairs = np.array([[-float(rbm.energy(a[None], b[None])[0]) for b in h] for a in v])
    log_z = logsumexp(pairs)
    assert rbm.log_partition() == pytest.approx(log_z, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(
        rbm.free_energy(v), -logsumexp(pairs, axis=1), rtol=1e-11, atol=1e-11
    )
    assert np.exp(rbm.log_probability(v)).sum() == pytest.approx(1)
    joint = np.exp(pairs - log_z)
    expected = [np.einsum("vh,hj,vi->ji", joint, h, v).ravel(), joint.sum(axis=0) @ h]
    np.testing.assert_allclose(
        rbm.expectations(), np.concatenate([*expected, joint.sum(axis=1) @ v]), atol=1e-12
    )
    given_v = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rbm.hidden_probabilities(v), given_v @ h, atol=1e-12)
    given_h = joint / joint.sum(axis=0)
    np.testing.assert_allclose(rbm.visible_probabilities(h), given_h.T @ v, atol=1e-12)


def test_sums_over_more_states_than_are_held_at_once():
    rbm = random_machine(14, 13, scale=0.3)
    total = logsumexp([-rbm.free_energy(v[None])[0] for v in states(14)])
    assert rbm.log_partition() == pytest.approx(total, rel=1e-12)


def test_the_likelihoods_gradient_against_differences():
    rbm, x = random_machine(5, 3), states(5)[[3, 7, 20]]

    def loss(theta):
        return RBM.from_theta(theta, 3, 5).log_probability(x).mean()

    np.testing.assert_allclose(rbm.gradient(x), differences(loss, rbm.theta), atol=1e-8)
    assert same(rbm.theta, RBM.from_theta(rbm.theta, 3, 5).theta)


def test_contrastive_divergence_of_many_steps_is_the_gradient():
    rbm = random_machine(5, 3, scale=0.7)
    x = states(5)[[3, 7, 20]]
    near, far = (CD(k).expected(rbm, x) for k in (1, 300))
    np.testing.assert_allclose(far, rbm.gradient(x), atol=1e-10)
    assert np.linalg.norm(near - rbm.gradient(x)) > 0.05  # it is biased


def test_contrastive_divergence_has_its_expectation():
    rbm, k = machine(), 2
    runs = np.array([CD(k).gradient(rbm, BARS, rng=seed) for seed in range(1500)])
    z = (runs.mean(axis=0) - CD(k).expected(rbm, BARS)) / (runs.std(axis=0) / np.sqrt(len(runs)))
    assert np.sqrt((z**2).mean()) < 1.4
    assert abs(z).max() < 4.5


def test_samples_follow_the_law():
    rbm = random_machine(4, 3, scale=0.8)
    drawn = rbm.sample(20_000, steps=40, rng=0)
    counts = np.bincount((drawn @ 2 ** np.arange(4)).astype(int), minlength=16)
    law = np.exp(rbm.log_probability((np.arange(16)[:, None] >> np.arange(4)) & 1))
    assert ((counts - 20_000 * law) ** 2 / (20_000 * law)).sum() < 37.7  # χ², 15, one in a thousand
    begun = rbm.sample(3, 0, start=np.ones((3, 4)))
    assert same(begun, np.ones((3, 4)))


def test_persistent_chains_come_to_the_model_where_theta_stays():
    layer = PCD(k=1, chains=400).objective(BARS, 6, rng=0)
    layer.theta = machine().theta
    runs = []
    for _ in range(300):
        runs.append(layer.loss_and_gradient()[1])
    exact = -machine().gradient(BARS)
    assert np.linalg.norm(np.mean(runs[50:], axis=0) - exact) < 0.05 * np.linalg.norm(exact)


def test_beside_scikit_learn():
    from sklearn.neural_network import BernoulliRBM

    rbm = machine()
    theirs = BernoulliRBM(n_components=6)
    theirs.components_ = rbm.weights
    theirs.intercept_hidden_, theirs.intercept_visible_ = rbm.hidden_bias, rbm.visible_bias
    np.testing.assert_allclose(theirs.transform(BARS), rbm.hidden_probabilities(BARS), rtol=1e-12)
    np.testing.assert_allclose(theirs._free_energy(BARS), rbm.free_energy(BARS), rtol=1e-12)


def test_training_beside_scikit_learn():
    """Persistent divergence with the same rate, chains and steps ends at the same likelihood."""
    from sklearn.neural_network import BernoulliRBM

    ours, theirs = [], []
    for seed in range(12):
        settings = {"n_components": 6, "learning_rate": 0.1, "batch_size": 14, "n_iter": 150}
        them = BernoulliRBM(**settings, random_state=seed).fit(BARS)
        rbm = RBM(them.components_, them.intercept_hidden_, them.intercept_visible_)
        theirs.append(rbm.log_probability(BARS).mean())
        layer = PCD(k=1, chains=14).objective(BARS, 6, rng=seed)
        training.fit(layer, optimizer=optim.sgd(0.1), batch_size=14, epochs=150, progress=False)
        ours.append(layer.rbm.log_probability(BARS).mean())
    apart = np.mean(ours) - np.mean(theirs)
    assert abs(apart) < 4 * np.sqrt((np.var(ours) + np.var(theirs)) / 12) + 0.02, (ours, theirs)


@pytest.mark.parametrize(
    ("estimator", "best"), [(Exact(), -3.2), (CD(1), -4.6), (CD(10), -4.4), (PCD(5, 100), -5.4)]
)
def test_machines_learn_bars_and_stripes(estimator, best):
    layer = estimator.objective(BARS, 6, rng=3)
    watch = layer.watch(BARS)
    before = watch(layer.theta)["log_likelihood"]
    history = training.fit(
        layer,
        validation=watch,
        optimizer=optim.momentum(0.05 if isinstance(estimator, PCD) else 0.1),
        batch_size=14,
        epochs=600,
        progress=False,
    )
    assert before == pytest.approx(-9 * np.log(2), abs=0.05)
    assert history[-1]["val_log_likelihood"] > best
    assert history[-1]["val_log_likelihood"] == pytest.approx(
        layer.rbm.log_probability(BARS).mean()
    )


def test_persistent_chains_left_behind_look_like_progress():
    """At too high a rate the likelihood falls below its start while reconstructions get better."""
    layer = PCD(1, 100).objective(BARS, 6, rng=0)
    watch = layer.watch()
    before = watch(layer.theta)
    training.fit(layer, optimizer=optim.momentum(0.1), batch_size=14, epochs=600, progress=False)
    after = watch(layer.theta)
    assert after["log_likelihood"] < before["log_likelihood"] - 0.5
    assert after["reconstruction"] < before["reconstruction"] - 0.5


def test_initial_machines_have_the_datas_means():
    x = (np.random.default_rng(0).random((500, 7)) < np.linspace(0.1, 0.9, 7)).astype(float)
    rbm = RBM.initial(x, 4, rng=0)
    np.testing.assert_allclose(rbm.visible_probabilities(np.zeros((1, 4)))[0], x.mean(0), atol=0.01)
    assert rbm.weights.std() == pytest.approx(0.01, rel=0.5)
    assert not rbm.hidden_bias.any()
    assert np.isfinite(RBM.initial(np.zeros((5, 2)), 2).visible_bias).all()


# ---------------------------------------------------------------- annealed importance sampling


@pytest.mark.parametrize("x", [None, BARS])
def test_annealing_is_within_its_error(x):
    rbm, inside = machine(), 0
    for seed in range(60):
        found = pretraining.estimate_log_partition(rbm, temperatures=200, chains=50, x=x, rng=seed)
        low, high = found.interval(0.95)
        inside += low < rbm.log_partition() < high
        assert found.stderr < 0.2
        assert 1 < found.effective <= 50
    assert inside >= 50  # 57 expected, 1 in 1,000 have fewer than 51


def test_annealing_is_unbiased_and_its_logarithm_too_low():
    rbm = random_machine(9, 6, scale=2.0)
    found = [
        pretraining.estimate_log_partition(rbm, temperatures=15, chains=6, rng=seed)
        for seed in range(400)
    ]
    logs = np.array([one.log_partition for one in found]) - rbm.log_partition()
    ratios = np.exp(logs)
    assert abs(ratios.mean() - 1) < 4 * ratios.std() / 20  # E Ẑ = Z
    assert logs.mean() < -4 * logs.std() / 20  # E ln Ẑ < ln Z
    bias = np.mean([one.bias for one in found])
    assert bias < 0
    assert 0.3 < bias / logs.mean() < 1.5
    assert found[0].bias == pytest.approx(-(found[0].stderr ** 2) / 2)


def test_one_temperature_is_importance_sampling():
    rbm, base = machine(), np.zeros(9)
    found = pretraining.estimate_log_partition(rbm, temperatures=1, chains=50, rng=5)
    v = (np.random.default_rng(5).random((50, 9)) < 0.5).astype(float)
    np.testing.assert_allclose(found.log_weights, -rbm.free_energy(v) + 9 * np.log(2), rtol=1e-12)
    same_steps = pretraining.estimate_log_partition(rbm, temperatures=[0.0, 1.0], chains=50, rng=5)
    assert same(found.log_weights, same_steps.log_weights)
    assert not base.any()


# ---------------------------------------------------------------- auto-encoders


RECIPES = [
    AutoEncoder(),
    AutoEncoder(tied=False),
    AutoEncoder(corruption=0.3),
    AutoEncoder(corruption=0.5, noise="gaussian", tied=False),
    AutoEncoder(corruption=0.4, noise="salt_and_pepper", loss="squared_error"),
    AutoEncoder(contraction=0.7),
    AutoEncoder(contraction=0.7, tied=False, corruption=0.2),
    AutoEncoder(sparsity=0.3),
    AutoEncoder(sparsity=losses.activity_penalty("log", 0.5), loss="squared_error", tied=False),
]


# A frequency of being on is one of units in [0, 1].
ON = AutoEncoder(sparsity=losses.activity_penalty("kl", 0.5, target=0.1), contraction=0.1)
CASES = [(recipe, f) for recipe in RECIPES for f in ("sigmoid", "tanh", "softplus")]


@pytest.mark.parametrize(("recipe", "activation"), [*CASES, (ON, "sigmoid")], ids=repr)
def test_gradients_by_hand(recipe, activation):
    x = np.random.default_rng(0).random((6, 5))
    layer = recipe.objective(x, 4, activation=activation, rng=1)
    layer.theta = layer.theta + 0.3 * np.random.default_rng(2).normal(size=layer.size)
    result = checks.check_gradients(layer, per_parameter=20)
    assert result.passed, result
    start = np.array(layer.theta)

    def loss(theta):
        layer.theta = theta
        return layer.loss([0, 3, 4])

    numeric = differences(loss, start)
    layer.theta = start
    np.testing.assert_allclose(layer.gradient([0, 3, 4]), numeric, atol=2e-8)


def test_the_contraction_is_the_norm_of_the_jacobian():
    x = np.random.default_rng(0).random((7, 5))
    layer = AutoEncoder(contraction=2.0).objective(x, 3, rng=0)
    J = layer.jacobian()
    assert J.shape == (7, 3, 5)
    norms = (J**2).sum(axis=(1, 2))
    h, W = layer.encode(), layer.part("weight")
    np.testing.assert_allclose(norms, (h**2 * (1 - h) ** 2) @ (W**2).sum(axis=1), rtol=1e-12)
    assert layer.terms()["contraction"] == pytest.approx(2 * norms.mean())
    eps = 1e-6
    numeric = (layer.encode(x + eps * np.eye(5)[2]) - layer.encode(x - eps * np.eye(5)[2])) / (
        2 * eps
    )
    np.testing.assert_allclose(J[:, :, 2], numeric, atol=1e-9)
    plain = AutoEncoder().objective(x, 3, rng=0)
    assert layer.loss() == pytest.approx(plain.loss() + layer.terms()["contraction"])


class FloorDivided:
    """A contractive penalty as a tutorial had it: ``sum(J ** 2) // n``, and its true gradient."""

    def __init__(self, layer, strength):
        self.layer, self.strength = layer, strength
        self.plain = AutoEncoder().objective(layer.x, layer.shapes["weight"][0], rng=0)

    def _at(self, theta):
        self.layer.theta = self.plain.theta = theta
        return (self.layer.jacobian() ** 2).sum(), len(self.layer.x)

    def loss(self, theta):
        total, n = self._at(theta)
        return self.plain.loss() + self.strength * (total // n)  # the mistake: //

    def intended(self, theta):
        total, n = self._at(theta)
        return self.plain.loss() + self.strength * total / n

    def gradient(self, theta):
        self._at(theta)
        return self.plain.gradient()  # of the loss as it stands: a floor has the slope 0


def test_a_contraction_divided_by_floor_has_no_gradient():
    x = np.random.default_rng(0).random((6, 5))
    layer = AutoEncoder(contraction=1.0).objective(x, 4, rng=1)
    layer.theta = layer.theta + 0.5 * np.random.default_rng(2).normal(size=layer.size)
    start, bug = np.array(layer.theta), FloorDivided(layer, 1.0)
    # Against the loss that was meant, the check sees that the gradient lacks the penalty's part.
    meant = objective.from_function(bug.intended, bug.gradient, start, shapes=layer.shapes)
    result = checks.check_gradients(meant, per_parameter=20)
    assert not result.passed
    assert result.findings
    # Against the loss as it was written it cannot: a floor is flat, and differences agree.
    written = objective.from_function(bug.loss, bug.gradient, start, shapes=layer.shapes)
    assert checks.check_gradients(written, per_parameter=20).passed
    # What shows then is that the strength changes nothing; in the right code it does.
    layer.theta = start
    weaker = AutoEncoder(contraction=0.1).objective(x, 4)
    weaker.theta = start
    assert same(FloorDivided(layer, 0.1).gradient(start), bug.gradient(start))
    assert np.linalg.norm(layer.gradient() - weaker.gradient()) > 0.1


def test_loss_and_gradient_speak_of_one_draw_and_training_of_fresh_ones():
    x = np.random.default_rng(0).random((8, 5))
    layer = AutoEncoder(corruption=0.5).objective(x, 4)
    first, again = layer.loss(), layer.loss()
    both, slope = layer.loss_and_gradient()
    assert first == again == both
    assert layer.draws == 1
    assert layer.loss() != first
    assert not same(layer.gradient(), slope)
    clean = AutoEncoder().objective(x, 4)
    assert clean.loss_and_gradient()[0] == clean.loss_and_gradient()[0]
    layer.theta = clean.theta
    assert same(layer.encode(), clean.encode())  # codes are of clean inputs


def test_the_target_is_clean_and_masks_are_fresh():
    """With every input masked, what is learned is the mean of the clean targets."""
    x = np.random.default_rng(0).random((40, 3))
    layer = AutoEncoder(corruption=1.0, loss="squared_error").objective(x, 2)
    training.fit(layer, optimizer=optim.sgd(0.5), batch_size=40, epochs=400, progress=False)
    np.testing.assert_allclose(layer.reconstruct(np.zeros((1, 3)))[0], x.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("noise", "mean", "variance"),
    [
        ("mask", 0.7 * 0.8, 0.3 * 0.7 * 0.64),
        ("gaussian", 0.8, 0.09),
        ("salt_and_pepper", 0.71, None),
    ],
)
def test_corruptions_have_their_moments(noise, mean, variance):
    x = np.full((300, 400), 0.8)
    spoilt = pretraining.corrupt(x, 0.3, noise, rng=0)
    assert spoilt.mean() == pytest.approx(mean, abs=0.005)
    assert (x == 0.8).all()
    if variance is not None:
        assert spoilt.var() == pytest.approx(variance, rel=0.02)
    else:
        assert set(np.unique(spoilt)) == {0.0, 0.8, 1.0}
    assert same(pretraining.corrupt(x, 0.0, noise), x)
    assert pretraining.corrupt(x.astype("float32"), 0.3, noise).dtype == np.float32


def test_the_linear_denoiser_against_draws():
    """3,000 draws: P and Q to .1 %, and W from them is the closed one."""
    rng = np.random.default_rng(3)
    x = np.hstack([rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4)) + 1, np.ones((400, 1))])
    amounts = np.array([0.3, 0.3, 0.1, 0.5, 0.0])  # the constant is never spoilt: a bias
    P, Q = np.zeros((5, 5)), np.zeros((5, 5))
    for _ in range(3000):
        spoilt = x * (rng.random(x.shape) >= amounts)
        P += x.T @ spoilt / len(x) / 3000
        Q += spoilt.T @ spoilt / len(x) / 3000
    S, kept = x.T @ x / len(x), 1 - amounts
    closed = np.outer(kept, kept) * S + np.diag(kept * (1 - kept) * S.diagonal())
    assert np.linalg.norm(Q - closed) < 1e-3 * np.linalg.norm(Q)
    assert np.linalg.norm(P - S * kept) < 1e-3 * np.linalg.norm(P)
    W = pretraining.linear_denoiser(x, amounts)
    assert np.linalg.norm(W - np.linalg.solve(Q, P.T).T) < 1e-2 * np.linalg.norm(W)
    np.testing.assert_allclose(W @ closed, S * kept, atol=1e-10)


def test_the_linear_denoiser_of_gaussian_noise_is_ridge_regression():
    x = np.random.default_rng(0).normal(size=(300, 5)) @ np.diag([3, 2, 1, 0.5, 0.1])
    S = x.T @ x / 300
    W = pretraining.linear_denoiser(x, 0.7, "gaussian")
    np.testing.assert_allclose(W, S @ np.linalg.inv(S + 0.49 * np.eye(5)), atol=1e-12)
    np.testing.assert_allclose(pretraining.linear_denoiser(x, 0.0), np.eye(5), atol=1e-10)
    with_dead = np.hstack([x, np.zeros((300, 1))])
    found = pretraining.linear_denoiser(with_dead, 0.3)
    assert not found[5].any()
    assert not found[:, 5].any()


@pytest.mark.parametrize("noise", ["mask", "gaussian"])
def test_the_linear_auto_encoder_is_stationary_at_the_closed_form(noise):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    x -= x.mean(axis=0)
    recipe = AutoEncoder(corruption=0.4, noise=noise, tied=False, loss="squared_error")
    layer = recipe.objective(x, 4, activation="identity", rng=0)
    W = pretraining.linear_denoiser(x, 0.4, noise)
    best = np.concatenate([W.ravel(), np.zeros(4), np.eye(4).ravel(), np.zeros(4)])
    layer.theta = best
    slopes = np.array([layer.loss_and_gradient()[1] for _ in range(800)])
    error = np.sqrt((slopes.var(axis=0) / 800).sum())
    assert np.linalg.norm(slopes.mean(axis=0)) < 2 * error
    layer.theta = 0.9 * best
    elsewhere = np.mean([layer.loss_and_gradient()[1] for _ in range(800)], axis=0)
    assert np.linalg.norm(elsewhere) > 5 * error


@pytest.mark.parametrize("tied", [True, False])
def test_a_linear_auto_encoder_finds_the_principal_components(tied):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 6)) * [3, 2, 1.5, 1, 0.7, 0.3] + rng.normal(size=6)
    recipe = AutoEncoder(tied=tied, loss="squared_error")
    layer = recipe.objective(x, 2, activation="identity", rng=0)

    def both(theta):
        layer.theta = theta
        return layer.loss(), layer.gradient()

    options = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-10}
    start = np.array(layer.theta)
    found = minimize(both, start, jac=True, method="L-BFGS-B", options=options)
    spectrum = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    assert found.fun == pytest.approx(spectrum[:4].sum() / 2, rel=1e-6)


def test_which_loss_is_taken():
    x = np.random.default_rng(0).random((5, 3))
    assert AutoEncoder().objective(x, 2).loss_name == "cross_entropy"
    assert AutoEncoder().objective(2 * x, 2).loss_name == "squared_error"
    assert AutoEncoder(loss="squared_error").objective(x, 2).loss_name == "squared_error"
    layer = AutoEncoder().objective(x, 2, rng=0)
    r = layer.reconstruct()
    by_hand = -(x * np.log(r) + (1 - x) * np.log(1 - r)).sum(axis=1).mean()
    assert layer.loss() == pytest.approx(by_hand)
    assert same(layer.decode(layer.encode()), r)


def test_initial_weights():
    x = np.random.default_rng(0).random((5, 300))
    for name, factor in (("sigmoid", 4), ("tanh", 1)):
        weight, bias = AutoEncoder().objective(x, 200, activation=name).encoder()
        reach = factor * np.sqrt(6 / 500)
        assert 0.99 * reach < abs(weight).max() <= reach
        assert not bias.any()
    start = np.ones((2, 300)), np.arange(2.0)
    for recipe in (AutoEncoder(), CD()):
        weight, bias = recipe.objective(x, 2, start=start).encoder()
        assert same(weight, start[0])
        assert same(bias, start[1])


# ---------------------------------------------------------------- sparse coding


def test_thresholding_against_scikit_learns_lasso():
    from sklearn.linear_model import Lasso

    rng = np.random.default_rng(0)
    atoms, x = rng.normal(size=(12, 8)), rng.normal(size=(3, 8))
    found = pretraining.ista(x, atoms, 0.5, iterations=20_000, tolerance=1e-9)
    quick = pretraining.ista(x, atoms, 0.5, iterations=20_000, tolerance=1e-9, accelerate=True)
    assert found.converged
    assert quick.converged
    assert quick.iterations < found.iterations
    assert (np.diff(found.losses) <= 1e-12).all()
    for row, code in zip(x, found.values, strict=True):
        # Its loss is ‖x − Dᵀz‖² / (2 · features) + alpha ‖z‖₁.
        lasso = Lasso(alpha=0.5 / 8, fit_intercept=False, tol=1e-12, max_iter=100_000)
        np.testing.assert_allclose(code, lasso.fit(atoms.T, row).coef_, atol=1e-6)
    np.testing.assert_allclose(found.values, quick.values, atol=1e-6)
    # The conditions of the minimum.
    slope = (x - found.values @ atoms) @ atoms.T
    on = found.values != 0
    np.testing.assert_allclose(slope[on], 0.5 * np.sign(found.values[on]), atol=1e-6)
    assert (abs(slope[~on]) <= 0.5 + 1e-6).all()
    assert (~on).any()
    assert on.any()


def test_nonnegative_codes_and_the_layer_of_one_step():
    rng = np.random.default_rng(0)
    atoms, x = rng.normal(size=(12, 8)), rng.normal(size=(5, 8))
    found = pretraining.ista(x, atoms, 0.3, nonnegative=True, iterations=5000)
    slope = (x - found.values @ atoms) @ atoms.T
    assert found.converged
    assert found.values.min() >= 0
    assert (slope <= 0.3 + 1e-4).all()
    np.testing.assert_allclose((slope - 0.3)[found.values > 0], 0, atol=1e-5)
    one = pretraining.ista(x, atoms, 0.3, nonnegative=True, iterations=1).values
    L = np.linalg.eigvalsh(atoms @ atoms.T)[-1]
    np.testing.assert_allclose(one, np.maximum(x @ atoms.T / L - 0.3 / L, 0), atol=1e-12)


def test_no_code_where_the_penalty_is_too_large():
    rng = np.random.default_rng(0)
    atoms, x = rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    largest = abs(x @ atoms.T).max()
    found = pretraining.ista(x, atoms, largest * 1.001)
    assert not found.values.any()
    assert found.iterations == 1
    assert found.converged
    assert pretraining.ista(x, atoms, largest * 0.99).values.any()


def test_the_dictionarys_gradient():
    x = np.random.default_rng(0).normal(size=(10, 5))
    recipe = SparseCoding(0.4, iterations=20_000, tolerance=1e-10)
    layer = recipe.objective(x, 7, rng=0)
    layer.theta = layer.theta * np.linspace(0.5, 2, layer.size)
    assert checks.check_gradients(layer, per_parameter=10).passed
    np.testing.assert_allclose(np.linalg.norm(layer.dictionary, axis=1), 1)


def test_a_dictionary_is_recovered():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(8, 6))
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    x = (rng.random((1000, 8)) < 0.15) * rng.normal(size=(1000, 8)) @ true
    layer = SparseCoding(0.05, tolerance=1e-3).objective(x, 8, rng=1)
    rule = optim.adam(0.03)
    history = training.fit(layer, optimizer=rule, batch_size=100, epochs=20, progress=False)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    match = abs(layer.dictionary @ true.T).max(axis=0)
    assert (match > 0.99).all(), match


# ---------------------------------------------------------------- depth


@pytest.mark.parametrize("depth", [1, 3, 6, 8])
def test_a_folded_line(depth):
    found = pretraining.linear_pieces(pretraining.tent_network(depth), 0.0, 1.0)
    assert found.count == 2**depth
    np.testing.assert_allclose(abs(found.slopes), 2.0**depth)
    np.testing.assert_allclose(found.ends, np.arange(2**depth + 1) / 2**depth, atol=1e-12)


def network(widths, seed, inputs=1):
    rng, layers = np.random.default_rng(seed), []
    for width in (*widths, 1):
        layers.append((rng.normal(size=(width, inputs)), rng.normal(size=width)))
        inputs = width
    return layers


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 3), st.integers(0, 10**6))
def test_one_layer_has_at_most_one_piece_more_than_units(units, inputs, seed):
    layers = network([units], seed, inputs)
    assert (
        pretraining.linear_pieces(layers, -9 * np.ones(inputs), 9 * np.ones(inputs)).count
        <= units + 1
    )


@pytest.mark.parametrize("seed", range(6))
def test_pieces_against_a_fine_grid(seed):
    layers = network([5, 6, 4], seed)
    found = pretraining.linear_pieces(layers, -3.0, 3.0)
    t = np.linspace(0, 1, 200_001)
    a = (6 * t - 3)[:, None]
    for k, (weight, bias) in enumerate(layers):
        a = a @ weight.T + bias
        a = np.maximum(a, 0) if k < len(layers) - 1 else a
    slopes = np.diff(a[:, 0]) / np.diff(t)
    inside = np.searchsorted(found.ends, (t[:-1] + t[1:]) / 2, side="right") - 1
    first = np.searchsorted(found.ends, t[:-1], side="right")
    whole = first == np.searchsorted(found.ends, t[1:], side="left")
    np.testing.assert_allclose(slopes[whole], found.slopes[inside[whole], 0], atol=1e-6)
    changes = abs(np.diff(slopes[whole])) > 1e-6 * abs(slopes).max()
    assert changes.sum() + 1 <= found.count <= changes.sum() + 3  # a piece may lie between points


def test_pieces_of_the_function_not_of_the_units():
    # max(0, x) − max(0, x) bends nowhere, though two units change.
    layers = [(np.ones((2, 1)), np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))]
    assert pretraining.linear_pieces(layers, -1.0, 1.0).count == 1
    linear = [(np.array([[2.0]]), np.array([1.0]))]
    found = pretraining.linear_pieces(linear, -1.0, 1.0)
    assert found.count == 1
    assert found.slopes.tolist() == [[4.0]]


def test_the_numbers_of_regions():
    bounds = [pretraining.montufar_bound(2, [8] * depth) for depth in (1, 2, 3, 4)]
    assert bounds == [37, 592, 9472, 151552]
    assert [pretraining.most_regions(2, n) for n in (16, 24, 32)] == [137, 301, 529]


def test_participation():
    found = pretraining.participation_ratio(
        np.vstack([np.ones(50), np.eye(50)[3], 1e-200 * np.ones(50)])
    )
    np.testing.assert_allclose(found, [50, 1, 50])
    noise = np.random.default_rng(0).normal(size=(200, 784))
    assert pretraining.participation_ratio(noise).mean() == pytest.approx(784 / 3, rel=0.02)
    assert np.isnan(pretraining.participation_ratio(np.zeros((1, 3))))[0]


# ---------------------------------------------------------------- stacks, luck, borders


LEARNERS = [AutoEncoder(corruption=0.3), CD(1), PCD(1, chains=10), Exact(), SparseCoding(0.1)]


def trained(recipe, seed, x=BARS):
    options = {"activation": None} if isinstance(recipe, SparseCoding) else {}
    layer = recipe.objective(x, 4, rng=seed, **options)
    training.fit(
        layer, optimizer=optim.sgd(0.05), batch_size=5, epochs=3, seed=seed, progress=False
    )
    return np.array(layer.theta)


@pytest.mark.parametrize("recipe", LEARNERS, ids=repr)
def test_a_seed_decides_luck_and_nothing_global_is_touched(recipe):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = trained(recipe, 0), trained(recipe, 0), trained(recipe, 1)
    assert same(first, again)
    assert not same(first, other)
    assert same(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("recipe", LEARNERS, ids=repr)
def test_float32_stays_float32(recipe):
    assert trained(recipe, 0, BARS.astype("float32")).dtype == np.float32
    near, far = trained(recipe, 0, BARS.astype("float32")), trained(recipe, 0)
    if not isinstance(recipe, (CD, PCD)):  # draws of float32 are others
        np.testing.assert_allclose(near, far, atol=0.2)


@pytest.mark.parametrize("recipe", LEARNERS, ids=repr)
def test_objectives_are_objectives_and_can_be_pickled(recipe):
    options = {"activation": None} if isinstance(recipe, SparseCoding) else {}
    layer = recipe.objective(BARS, 4, rng=0, **options)
    assert isinstance(layer, objective.Objective)
    assert layer.examples == 14
    assert layer.encode().shape == layer.encode(BARS).shape == (14, 4)
    twin = pickle.loads(pickle.dumps(layer))
    for one in (layer, twin):
        one.loss_and_gradient([0, 1, 2])
    assert same(twin.gradient(), layer.gradient())
    assert repr(twin) == repr(layer)
    with pytest.raises(ValueError, match="read-only"):
        layer.theta[0] = 1
    kept = layer.part(next(iter(layer.shapes)))
    values = kept.copy()
    layer.theta = 2 * layer.theta
    assert same(kept, values)


def test_results_can_be_pickled():
    for thing in (
        machine(),
        pretraining.estimate_log_partition(machine(), temperatures=5, chains=3),
        pretraining.ista(BARS, np.eye(9), 0.1),
        pretraining.linear_pieces(pretraining.tent_network(2), 0.0, 1.0),
        *LEARNERS,
    ):
        assert repr(pickle.loads(pickle.dumps(thing))) == repr(thing)


def test_a_stack_learns_from_stored_codes():
    x = data.load_digits_8x8()[0][:150]
    options = {"optimizer": optim.sgd(0.1), "epochs": 2}
    stack = pretraining.train_stack(x, [20, 10], [AutoEncoder(corruption=0.3), CD(1)], **options)
    first, second = stack.layers
    assert same(second.x, first.encode(x))
    assert same(stack.encode(x), second.encode(second.x))
    assert first.examples == 150
    assert [len(h) for h in stack.histories] == [2, 2]
    alone = pretraining.train_stack(x, [20], AutoEncoder(corruption=0.3), **options)
    assert same(alone.layers[0].theta, first.theta)  # what is above changes nothing below
    again = pretraining.train_stack(x, [20, 10], [AutoEncoder(corruption=0.3), CD(1)], **options)
    assert same(again.encode(x), stack.encode(x))
    other = pretraining.train_stack(x, [20], AutoEncoder(corruption=0.3), **options, seed=1)
    assert not same(other.layers[0].theta, first.theta)


def test_more_layers_of_other_kinds():
    x = data.load_digits_8x8()[0][:60]
    stack = pretraining.train_stack(
        x,
        [12, 8],
        [SparseCoding(0.1), AutoEncoder()],
        activation=[None, "tanh"],
        optimizer="adam",
        epochs=1,
    )
    assert stack.encode(x).shape == (60, 8)
    assert stack.layers[1].loss_name == "squared_error"


def test_weight_decay_is_the_penalty_of_fit():
    layer = CD(1).objective(BARS, 4, rng=0)
    training.fit(
        layer,
        optimizer=optim.sgd(0.1),
        penalty=losses.l2_penalty(5.0),
        batch_size=14,
        epochs=100,
        progress=False,
    )
    free = CD(1).objective(BARS, 4, rng=0)
    training.fit(free, optimizer=optim.sgd(0.1), batch_size=14, epochs=100, progress=False)
    assert abs(layer.part("weight")).max() < 0.5 * abs(free.part("weight")).max()


def test_a_checkpoint_knows_the_objective(tmp_path):
    x = np.random.default_rng(0).random((10, 4))

    def run(recipe, epochs):
        layer = recipe.objective(x, 3)
        saved = training.Checkpoint(tmp_path / "run")
        settings = {"optimizer": optim.sgd(0.1), "progress": False, "callbacks": [saved]}
        return training.fit(layer, epochs=epochs, **settings)

    run(AutoEncoder(), 2)
    assert len(run(AutoEncoder(), 4)) == 4
    with pytest.raises(training.CheckpointError):
        run(AutoEncoder(contraction=0.1), 4)


W34 = np.zeros((3, 4))
REFUSED = [
    (lambda: AutoEncoder(corruption=1.5), ValueError, r"corruption is 1.5; expected a number in"),
    (lambda: AutoEncoder(corruption="a"), TypeError, "corruption is 'a'"),
    (lambda: AutoEncoder(noise="dust"), ValueError, "noise is 'dust'; expected one of 'mask'"),
    (lambda: AutoEncoder(contraction=-1), ValueError, "contraction is -1"),
    (lambda: AutoEncoder(sparsity=-1), ValueError, "sparsity is -1"),
    (lambda: AutoEncoder(tied="no"), TypeError, "tied is 'no'; expected True or False"),
    (lambda: AutoEncoder(loss="mse"), ValueError, "loss is 'mse'"),
    (lambda: AutoEncoder().objective(BARS, 0), ValueError, "units is 0"),
    (lambda: AutoEncoder().objective(np.ones(3), 2), ValueError, "expected \\(n, features\\)"),
    (lambda: AutoEncoder().objective([["a"]], 2), TypeError, "expected real numbers"),
    (lambda: AutoEncoder().objective(np.full((2, 2), np.nan), 2), ValueError, "NaN"),
    (lambda: AutoEncoder().objective(BARS, 2, activation="step"), ValueError, "activation is 'st"),
    (lambda: AutoEncoder().objective(BARS, 2, start=1), TypeError, "pair"),
    (lambda: AutoEncoder().objective(BARS, 2, start=(W34, W34)), ValueError, "start has"),
    (lambda: AutoEncoder(loss="cross_entropy").objective(2 * BARS, 2), ValueError, "Rescale them"),
    (lambda: AutoEncoder().objective(BARS, 2).encode(W34), ValueError, "4 features; expected 9"),
    (lambda: CD(0), ValueError, "k is 0"),
    (lambda: PCD(1, chains=0), ValueError, "chains is 0"),
    (lambda: CD().objective(BARS - 1, 2), ValueError, "Binarise or rescale"),
    (lambda: CD().objective(BARS, 2, activation="relu"), ValueError, "expected 'sigmoid'"),
    (lambda: CD().gradient(machine(), W34), ValueError, "expected 9, one a visible unit"),
    (lambda: CD().expected(random_machine(20, 20), np.zeros((1, 20))), ValueError, "at most 22"),
    (lambda: RBM(W34, np.zeros(4), np.zeros(3)), ValueError, r"hidden_bias has shape \(4,\)"),
    (lambda: RBM(np.zeros(3), np.zeros(4), np.zeros(3)), ValueError, "expected \\(hidden, visible"),
    (lambda: RBM(W34 + 1j, np.zeros(3), np.zeros(4)), TypeError, "real numbers"),
    (lambda: RBM.from_theta(np.zeros(5), 3, 4), ValueError, r"expected \(19,\)"),
    (lambda: random_machine(30, 30).log_partition(), ValueError, "estimate_log_partition"),
    (lambda: machine().sample(2, start=W34), ValueError, "a state a chain"),
    (lambda: pretraining.bars_and_stripes(1), ValueError, "size is 1"),
    (lambda: pretraining.estimate_log_partition(3), TypeError, "such as layer.rbm"),
    (lambda: pretraining.estimate_log_partition(machine(), chains=1), ValueError, "chains is 1"),
    (
        lambda: pretraining.estimate_log_partition(machine(), temperatures=[0, 0.5]),
        ValueError,
        "from 0 to 1, both included",
    ),
    (
        lambda: pretraining.estimate_log_partition(machine(), temperatures=[0, 0.5, 0.5, 1]),
        ValueError,
        "do not increase",
    ),
    (lambda: SparseCoding(0), ValueError, "penalty is 0"),
    (
        lambda: SparseCoding(1).objective(BARS, 2, activation="relu"),
        TypeError,
        "AutoEncoder\\(spars",
    ),
    (lambda: SparseCoding(1).objective(BARS, 2).encoder(), TypeError, "expected a recipe with an"),
    (lambda: pretraining.ista(BARS, W34, 1), ValueError, "an atom a row"),
    (lambda: pretraining.ista(BARS, np.zeros((2, 9)), 1), ValueError, "every atom is 0"),
    (lambda: pretraining.ista(BARS, np.eye(9), 1, start=W34), ValueError, "start has shape"),
    (lambda: pretraining.linear_denoiser(BARS, [0.1, 0.2]), ValueError, "each of the 9 features"),
    (lambda: pretraining.linear_denoiser(BARS, 2), ValueError, "corruption is 2"),
    (lambda: pretraining.linear_denoiser(BARS, 0.2, "salt_and_pepper"), ValueError, "noise is"),
    (lambda: pretraining.corrupt(BARS, -0.1), ValueError, "amount is -0.1"),
    (lambda: pretraining.linear_pieces([], 0, 1), ValueError, "layers is empty"),
    (lambda: pretraining.linear_pieces([W34], 0, 1), TypeError, "expected a pair"),
    (
        lambda: pretraining.linear_pieces([(W34, np.zeros(3))], 0.0, 1.0),
        ValueError,
        "an end of the",
    ),
    (
        lambda: pretraining.linear_pieces([(W34, np.zeros(2))], 0, 1),
        ValueError,
        "expected \\(units",
    ),
    (lambda: pretraining.tent_network(0), ValueError, "depth is 0"),
    (lambda: pretraining.montufar_bound(3, [2]), ValueError, "a width is 2; expected a whole"),
    (lambda: pretraining.montufar_bound(3, []), ValueError, "widths is empty"),
    (
        lambda: pretraining.train_stack(BARS, [], AutoEncoder(), optimizer="sgd"),
        ValueError,
        "no layer to train",
    ),
    (
        lambda: pretraining.train_stack(BARS, [3], [CD(), CD()], optimizer="sgd"),
        ValueError,
        "recipes has 2 entries for 1 layers",
    ),
    (
        lambda: pretraining.train_stack(BARS, [3], "cd", optimizer="sgd"),
        TypeError,
        "recipes has 'cd'; expected what has a method objective",
    ),
]


@pytest.mark.parametrize(("call", "kind", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_theta_of_another_shape_is_refused():
    layer = CD().objective(BARS, 2)
    with pytest.raises(ValueError, match=r"theta has shape \(2,\); expected \(29,\)"):
        layer.theta = np.zeros(2)


def test_divergence_is_said():
    layer = AutoEncoder(loss="squared_error").objective(100 * BARS, 4, activation="identity")
    with pytest.raises(training.DivergedError):
        training.fit(layer, optimizer=optim.sgd(10.0), batch_size=5, epochs=50, progress=False)


def test_hidden_probabilities_are_those_of_a_logistic_layer():
    layer = CD().objective(BARS, 5, rng=0)
    weight, bias = layer.encoder()
    np.testing.assert_allclose(layer.encode(), expit(BARS @ weight.T + bias))

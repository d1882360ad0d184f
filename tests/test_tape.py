"""The tape against mathematics, hand-derived gradients and finite differences."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook.tape import Variable

numbers = st.floats(-3, 3)
positive = st.floats(0.1, 3)

# Expression, its value, and its partial derivatives written by hand.
BINARY = {
    "sum": (lambda x, y: x + y, lambda x, y: x + y, lambda x, y: (1, 1)),
    "difference": (lambda x, y: x - y, lambda x, y: x - y, lambda x, y: (1, -1)),
    "product": (lambda x, y: x * y, lambda x, y: x * y, lambda x, y: (y, x)),
    "quotient": (lambda x, y: x / y, lambda x, y: x / y, lambda x, y: (1 / y, -x / y**2)),
    "tanh of a product": (
        lambda x, y: (x * y).tanh(),
        lambda x, y: math.tanh(x * y),
        lambda x, y: (y / math.cosh(x * y) ** 2, x / math.cosh(x * y) ** 2),
    ),
    "log of a sum of exponentials": (
        lambda x, y: (x.exp() + y.exp()).log(),
        lambda x, y: math.log(math.exp(x) + math.exp(y)),
        lambda x, y: (1 / (1 + math.exp(y - x)), 1 / (1 + math.exp(x - y))),
    ),
    "numbers on either side": (
        lambda x, y: 2 - 3 * x + y * 4 - 1 + 5 / y,
        lambda x, y: 1 - 3 * x + 4 * y + 5 / y,
        lambda x, y: (-3, 4 - 5 / y**2),
    ),
    "powers": (
        lambda x, y: x**3 - y**-0.5,
        lambda x, y: x**3 - y**-0.5,
        lambda x, y: (3 * x**2, 0.5 * y**-1.5),
    ),
    "x used often": (
        lambda x, y: x * x * x + x * y - x / x,
        lambda x, y: x**3 + x * y - 1,
        lambda x, y: (3 * x**2 + y, x),
    ),
}


@pytest.mark.parametrize("name", BINARY)
@given(x=positive, y=positive)
@settings(max_examples=25, deadline=None)
def test_values_and_gradients_are_those_of_mathematics(name, x, y):
    expression, value, slopes = BINARY[name]
    a, b = Variable(x), Variable(y)
    result = expression(a, b)
    result.backward()
    assert result.value == pytest.approx(value(x, y), rel=1e-10, abs=1e-10)
    assert (a.gradient, b.gradient) == pytest.approx(slopes(x, y), rel=1e-9, abs=1e-10)
    assert (a.value, b.value) == (x, y)


@given(x=numbers)
@settings(max_examples=25, deadline=None)
def test_functions_of_one_variable(x):
    for function, value, slope in [
        (Variable.tanh, math.tanh(x), 1 - math.tanh(x) ** 2),
        (Variable.exp, math.exp(x), math.exp(x)),
        (Variable.__neg__, -x, -1),
        (lambda v: v**2, x * x, 2 * x),
        (lambda v: v**1, x, 1),
    ]:
        v = Variable(x)
        result = function(v)
        result.backward()
        assert result.value == pytest.approx(value, rel=1e-14)
        assert v.gradient == pytest.approx(slope, rel=1e-14, abs=1e-300)


def network(weights, x, target):
    """Squared error of two tanh units and a linear output: 2·2 + 2 + 2 + 1 weights."""
    hidden = [
        (weights[3 * i] * x[0] + weights[3 * i + 1] * x[1] + weights[3 * i + 2]).tanh()
        for i in range(2)
    ]
    output = weights[6] * hidden[0] + weights[7] * hidden[1] + weights[8]
    return 0.5 * (output - target) ** 2


def by_hand(weights, x, target):
    h = [math.tanh(weights[3 * i] * x[0] + weights[3 * i + 1] * x[1] + weights[3 * i + 2])
         for i in range(2)]  # fmt: skip
    delta = weights[6] * h[0] + weights[7] * h[1] + weights[8] - target
    slopes = []
    for i in range(2):
        back = delta * weights[6 + i] * (1 - h[i] ** 2)
        slopes += [back * x[0], back * x[1], back]
    return [*slopes, delta * h[0], delta * h[1], delta]


def taped(weights, x, target):
    variables = [Variable(w) for w in weights]
    loss = network(variables, x, target)
    loss.backward()
    return loss.value, [v.gradient for v in variables]


def largest_error(mine, theirs):
    return max(abs(a - b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_network_against_hand_gradients_and_finite_differences(seed):
    rng = random.Random(seed)
    weights = [rng.gauss(0, 1) for _ in range(9)]
    x, target = (rng.gauss(0, 1), rng.gauss(0, 1)), rng.gauss(0, 1)
    _, gradient = taped(weights, x, target)
    assert largest_error(gradient, by_hand(weights, x, target)) < 1e-10

    def at(k, shift):
        return taped([w + shift * (i == k) for i, w in enumerate(weights)], x, target)[0]

    numeric = [(at(k, 1e-5) - at(k, -1e-5)) / 2e-5 for k in range(9)]
    assert largest_error(gradient, numeric) < 1e-7


def test_a_planted_sign_error_is_caught(monkeypatch):
    def wrong(self):
        t = math.tanh(self.value)
        return Variable(t, [(self, 1 + t * t)])

    weights, x, target = [0.3, -0.2, 0.1, 0.5, 0.4, -0.6, 1.2, -0.7, 0.05], (0.8, -1.1), 0.4
    exact = by_hand(weights, x, target)
    assert largest_error(taped(weights, x, target)[1], exact) < 1e-10
    monkeypatch.setattr(Variable, "tanh", wrong)
    assert largest_error(taped(weights, x, target)[1], exact) > 1e-3


def test_a_shared_expression_is_differentiated_once_and_counts_every_use():
    x = Variable(1.5)
    shared = x * x
    result = shared * shared + shared
    for _ in range(60):  # 2⁶⁰ paths lead to x; each edge must be walked once
        result = (result + result) * 0.5
    result.backward()
    assert result.value == pytest.approx(1.5**4 + 1.5**2, rel=1e-13)
    assert x.gradient == pytest.approx(4 * 1.5**3 + 2 * 1.5, rel=1e-13)
    assert shared.gradient == pytest.approx(2 * 1.5**2 + 1, rel=1e-13)


def test_ten_thousand_operations_in_a_chain_need_no_recursion():
    x = Variable(1.0)
    result = x
    for _ in range(10_000):
        result = result * 1.0001 + 0.0
    result.backward()
    assert x.gradient == pytest.approx(1.0001**10_000, rel=1e-10)
    deep = x
    for _ in range(20_000):
        deep = deep + 1.0
    deep.backward()
    assert x.gradient == 1.0


def test_backward_starts_afresh_every_time():
    x = Variable(3.0)
    y = x * x
    y.backward()
    y.backward()
    assert x.gradient == 6.0
    (x * 5.0).backward()
    assert x.gradient == 5.0
    x.backward()
    assert x.gradient == 1.0


def test_what_does_not_flow_into_the_result_keeps_its_gradient():
    x, other = Variable(1.0), Variable(2.0)
    (other * 3.0).backward()
    x.exp().backward()
    assert other.gradient == 3.0
    assert repr(x) == "Variable(1, gradient=2.71828)"


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (lambda: Variable(-1.0).log(), ValueError),
        (lambda: Variable(0.0) ** -1, ZeroDivisionError),
        (lambda: Variable("two"), ValueError),
        (lambda: Variable(1.0) * [2.0], TypeError),
    ],
)
def test_what_mathematics_does_not_define_raises(work, error):
    with pytest.raises(error):
        work()

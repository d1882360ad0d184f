"""Small tasks, real and synthetic, of which every seed draws examples anew."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as onp

from nnbook._arguments import check_choice, check_seed, check_sizes
from nnbook._arrays import to_numpy
from nnbook.data import ImageSet, Standardize
from nnbook.experiments import pools

__all__ = ["TASKS", "Task", "panel", "task"]

Pair = tuple[onp.ndarray, onp.ndarray]


@dataclass(frozen=True)
class Task:
    """A task: its examples, a loss that suits it, and what guessing and the best would reach.

    Made by `task`; one of your own needs the first nine, and a `pool` or a `generate`.

    Attributes
    ----------
    name, words : str
        What it is called, and what it is.
    loss : str
        "softmax_cross_entropy" or "squared_error", in `nnbook.losses`.
    features, outputs : int
        Numbers of an example, and outputs of a network for it.
    n_train, n_val, n_test : int
        Examples of each part.
    chance_error : float
        The error of whoever knows the commonest class alone, or the mean target.
    best_error : float or None
        The least expected error that there can be, where it is known.
    scaling : str
        What the inputs are divided by after their means are subtracted: "each", their standard
        deviation; "all", one number, for pixels. Both are of the training part.
    pool : callable, optional
        ``pool()`` returns all examples of a finite set, ``(x, y)``.
    generate : callable, optional
        ``generate(count, rng)`` draws that many.
    """

    name: str
    words: str
    loss: str
    features: int
    outputs: int
    n_train: int
    n_val: int
    n_test: int
    chance_error: float
    best_error: float | None = None
    scaling: str = "each"
    pool: Callable[[], Pair] | None = None
    generate: Callable[[int, onp.random.Generator], Pair] | None = None

    def __post_init__(self) -> None:
        check_sizes(n_train=self.n_train, n_val=self.n_val, n_test=self.n_test)
        check_choice(self.loss, "loss", ("softmax_cross_entropy", "squared_error"))
        check_choice(self.scaling, "scaling", ("each", "all"))
        if (self.pool is None) == (self.generate is None):
            raise TypeError("expected either pool or generate")

    @property
    def finite(self) -> bool:
        """Whether there are only so many examples, so that the parts of two seeds overlap."""
        return self.pool is not None

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return self.loss == "softmax_cross_entropy"

    @property
    def chance_loss(self) -> float:
        """The loss of outputs that are all equal, or of the mean target."""
        return math.log(self.outputs) if self.classifies else 0.5

    def draw(self, seed: int) -> ImageSet:
        """Draw the training, validation and test examples of a seed.

        Parameters
        ----------
        seed : int
            Decides which. With fewer training examples the other parts stay the same.

        Returns
        -------
        ImageSet
            ``x_train, y_train, x_val, y_val, x_test, y_test``: x float32, shape (n, features),
            shifted and scaled by the training part; y int32 labels, shape (n,), or float32
            numbers, shape (n, 1), shifted and scaled like x. No example is in two parts.

        Raises
        ------
        ValueError
            The set has fewer examples than the three parts together.
        """
        words = [check_seed(seed), zlib.crc32(self.name.encode())]
        parts = self._generated(words) if self.pool is None else self._taken(words)
        (x_test, y_test), (x_val, y_val), (x_train, y_train) = parts
        scale = self._scale(x_train)
        inputs = [scale(x).astype("float32") for x in (x_train, x_val, x_test)]
        targets = [y_train, y_val, y_test]
        if not self.classifies:
            step = Standardize().fit(onp.asarray(y_train))
            targets = [step.transform(y).astype("float32") for y in targets]
        return ImageSet(inputs[0], targets[0], inputs[1], targets[1], inputs[2], targets[2])

    def _taken(self, words: list[int]) -> list[Pair]:
        """Test, validation and training examples of a finite set, in this order."""
        assert self.pool is not None
        x, y = self.pool()
        sizes = self.n_test, self.n_val, self.n_train
        if sum(sizes) > len(x):
            raise ValueError(
                f"the task {self.name!r} is asked for {sum(sizes):,} examples and has {len(x):,}; "
                "choose a smaller n_train, n_val or n_test"
            )
        rows = onp.random.default_rng(words).permutation(len(x))[: sum(sizes)]
        parts = onp.split(rows, onp.cumsum(sizes)[:-1])
        return [(x[part], y[part]) for part in parts]

    def _generated(self, words: list[int]) -> list[Pair]:
        assert self.generate is not None
        sizes = enumerate((self.n_test, self.n_val, self.n_train))
        return [self.generate(n, onp.random.default_rng([*words, part])) for part, n in sizes]

    def _scale(self, x: onp.ndarray) -> Callable[[onp.ndarray], onp.ndarray]:
        """The step that the training inputs decide."""
        x = x.astype("float32")
        if self.scaling == "each":
            step = Standardize().fit(x)
            return lambda part: step.transform(part.astype("float32"))
        mean = x.mean(axis=0, dtype="float64")
        deviation = float(onp.sqrt(((x - mean) ** 2).mean()))
        return lambda part: (part - mean) / deviation

    def error(self, outputs: Any, y: Any) -> float:
        """Return the part misclassified, or the part of the variance that is left.

        Parameters
        ----------
        outputs : array, shape (n, outputs)
            Of a network: the largest is its class, or of one output the sign; or numbers like the
            targets.
        y : array
            Targets as `draw` returns them, or of classes one column for each.

        Returns
        -------
        float
            0 at best. Classes: at most 1. Numbers: 1 for the mean of the training targets.
        """
        outputs, targets = to_numpy(outputs, "outputs"), to_numpy(y, "y")
        if self.classifies:
            return float((_classes(outputs) != _classes(targets)).mean())
        left = (outputs.reshape(targets.shape).astype("float64") - targets) ** 2
        return float(left.mean() / (targets.astype("float64") ** 2).mean())


def _classes(array: onp.ndarray) -> onp.ndarray:
    """Labels themselves; of a column its sign; of several columns the largest."""
    if array.ndim == 1:
        return array
    return array[:, 0] > 0 if array.shape[1] == 1 else array.argmax(axis=1)


_CLASSES, _NUMBERS = "softmax_cross_entropy", "squared_error"

_EVERY = (
    Task("mnist", "handwritten digits, 28 × 28 pixels", _CLASSES, 784, 10, 1000, 500, 2000,
         0.89, scaling="all", pool=pools.mnist_pool),
    Task("fashion", "clothes, 28 × 28 pixels", _CLASSES, 784, 10, 1000, 500, 2000,
         0.9, scaling="all", pool=pools.fashion_pool),
    Task("digits", "handwritten digits, 8 × 8 pixels", _CLASSES, 64, 10, 800, 300, 600,
         0.9, scaling="all", pool=pools.digits_pool),
    Task("signals", "one-dimensional patterns in noise, 40 points", _CLASSES, 40, 10, 1000, 500,
         2000, 0.9, scaling="all", generate=pools.draw_signals),
    Task("cancer", "tumours by 30 measurements", _CLASSES, 30, 2, 300, 100, 169,
         0.37, pool=pools.cancer_pool),
    Task("wine", "wines by 13 measurements", _CLASSES, 13, 3, 90, 40, 48,
         0.6, pool=pools.wine_pool),
    Task("diabetes", "the course of a disease by 10 measurements, a regression", _NUMBERS, 10, 1,
         242, 80, 120, 1.0, pool=pools.diabetes_pool),
    Task("moons", "two half circles in the plane", _CLASSES, 2, 2, 200, 200, 2000,
         0.5, best_error=pools.MOONS_BEST, generate=pools.draw_moons),
    Task("teacher", "labels of a small fixed network, one in ten wrong", _CLASSES, 10, 3, 500,
         300, 2000, 0.63, best_error=pools.TEACHER_BEST, generate=pools.draw_teacher),
    Task("sine", "a noisy sine, a regression", _NUMBERS, 1, 1, 100, 100, 1000,
         1.0, best_error=pools.SINE_BEST, generate=pools.draw_sine),
)  # fmt: skip

#: The names of the panel's tasks.
TASKS = tuple(one.name for one in _EVERY)


def task(name: str, **sizes: int) -> Task:
    """Return a task of the panel, of other sizes where you say so.

    Parameters
    ----------
    name : str
        One of `TASKS`. Those from scikit-learn ("digits", "cancer", "wine", "diabetes") need it
        when they are drawn.
    **sizes : int
        ``n_train``, ``n_val``, ``n_test``.

    Returns
    -------
    Task

    Raises
    ------
    TypeError, ValueError
        No such task, another keyword, no whole number of at least 1.

    Examples
    --------
    >>> from nnbook import experiments
    >>> moons = experiments.task("moons", n_train=50)
    >>> x_train, y_train, x_val, y_val, x_test, y_test = moons.draw(seed=0)
    >>> x_train.shape, y_test.shape, moons.best_error
    ((50, 2), (2000,), 0.0854)
    """
    check_choice(name, "the task", TASKS)
    if unknown := sorted(set(sizes) - {"n_train", "n_val", "n_test"}):
        raise TypeError(f"got {unknown[0]!r}; expected n_train, n_val or n_test")
    return replace(_EVERY[TASKS.index(name)], **sizes)  # type: ignore[arg-type]


def panel(*names: str, **sizes: int) -> tuple[Task, ...]:
    """Return several tasks, on which a general claim is put to the test.

    Ten: "mnist", "fashion" and "digits" (images), "signals" (made after MNIST-1D), "cancer" and
    "wine" (tables), "diabetes" (a regression), and three whose best error is known: "moons",
    "teacher" and "sine" (a regression).

    Parameters
    ----------
    *names : str
        Which of `TASKS`; by default all ten.
    **sizes : int
        As for `task`, the same for all.

    Returns
    -------
    tuple of Task

    Raises
    ------
    TypeError, ValueError
        As `task`.

    Examples
    --------
    >>> from nnbook import experiments
    >>> [one.name for one in experiments.panel() if one.best_error is not None]
    ['moons', 'teacher', 'sine']
    """
    return tuple(task(name, **sizes) for name in names or TASKS)

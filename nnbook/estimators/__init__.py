"""Estimators of scikit-learn: networks for `Pipeline`, `GridSearchCV` and `cross_val_score`.

`NetClassifier` and `NetRegressor` build a network for the data that they get, standardise, train it
by `nnbook.training.fit`, and predict. They need scikit-learn 1.6 or later: the extra
``estimators``. What a setting does is told by the functions that they call; for anything beyond,
call those yourself.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)

from nnbook.estimators.classifier import NetClassifier as NetClassifier
from nnbook.estimators.regressor import NetRegressor as NetRegressor

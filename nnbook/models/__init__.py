"""What comes after training: predict, save and load.

A network gives outputs; what they mean, its loss knows. `predict` and `predict_proba` take a
network with the loss that it was trained with, or a `Model`: a network with all that belongs to its
use, the preprocessing of the examples and the classes' names among it. `save` writes one to a
single file that holds numbers and no code, and `load` reads it again, on any machine.
"""

from nnbook.models.files import load, save
from nnbook.models.model import Model, predict, predict_proba

__all__ = ["Model", "load", "predict", "predict_proba", "save"]

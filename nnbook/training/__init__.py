"""The training loop: `fit`, `evaluate`, callbacks, history, checkpoints and the range test."""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)

"""Activation functions, units, initial weights and `mlp`; `nnbook.layers` has their names."""

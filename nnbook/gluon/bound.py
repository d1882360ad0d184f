"""A stack's graph, bound to its memory for one batch size and grouping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook.gluon.examples import Examples, Rows, draw_rows
from nnbook.gluon.parameters import host_view
from nnbook.gluon.runtime import mx, np
from nnbook.gluon.stack import NotStackable, Stack
from nnbook.gluon.tracing import draws

__all__ = ["BoundStack"]


class BoundStack:
    """The stack's graph bound for one batch size and grouping."""

    def __init__(self, stack: Stack, groups: list[int], size: int, examples: Examples, loss: Any):
        self.members, self.groups = len(stack), groups
        x, y, device = examples.x, examples.y, stack.device
        label = np.zeros((len(stack) * size, *y.shape[1:]), dtype=y.dtype, ctx=device)
        # A Dense layer flattens what has more axes; so does the wide one.
        data = [np.zeros((size, *x.shape[1:]), dtype=x.dtype, ctx=device) for _ in groups]
        inputs = {f"data{g}": array.as_nd_ndarray() for g, array in enumerate(data)}
        inputs["label"] = label.as_nd_ndarray()
        slopes = stack.arguments(stack._grad, groups)
        arguments = stack.arguments(stack._theta, groups) | inputs
        try:
            graph = stack.graph(groups, loss)
            if draws(graph):
                raise NotStackable("what is random would depend on who shares the stack")
            self._executor = graph.bind(
                device,
                args={name: arguments[name] for name in graph.list_arguments()},
                args_grad=slopes,
                grad_req={n: "write" if n in slopes else "null" for n in graph.list_arguments()},
            )
            losses, outputs = self._executor.forward(is_train=False)
            losses.wait_to_read()
        except NotStackable:
            raise
        except Exception as error:  # whatever the loss's Python code or MXNet raises
            raise NotStackable(f"the stack cannot be made a graph: {error}") from error
        if losses.size != len(stack) * size:
            raise NotStackable("the loss does not return one value per example")
        self._keep = (data, label, arguments, slopes, losses, outputs)
        self.inputs, self.label = [host_view(array) for array in data], host_view(label)
        self.losses = host_view(losses).reshape(len(stack), size)
        self.outputs = host_view(outputs)
        self.source = host_view(x), host_view(y)
        self._heads = [
            mx.nd.full(losses.shape, 1 / size, device, losses.dtype),
            mx.nd.zeros(outputs.shape, device, outputs.dtype),
        ]
        self._gradients = list(slopes.values())

    def run(self, rows: Sequence[Rows], train: bool = True) -> onp.ndarray:
        """Run the graph on each group's rows; return every member's mean loss, shape (K,)."""
        x, y = self.source
        labels = self.label.reshape(self.members, -1, *self.label.shape[1:])
        start = 0
        for part, size, target in zip(rows, self.groups, self.inputs, strict=True):
            draw_rows(x, part, target)
            labels[start : start + size] = y[part]
            start += size
        self._executor.forward(is_train=train)
        if train:
            self._executor.backward(self._heads)
            for gradient in self._gradients:
                gradient.wait_to_read()
        else:
            self._executor.outputs[0].wait_to_read()
            self._executor.outputs[1].wait_to_read()
        return self.losses.mean(axis=1, dtype=float)

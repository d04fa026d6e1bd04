"""Writing ONNX: collects a graph's nodes and constants."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper


class Writer:
    """Collects the nodes and constants of a graph, in the order of the calls."""

    def __init__(self, prefix: str = "") -> None:
        """``prefix``: put before the names of all values."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._prefix = prefix
        self._count = 0

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes) -> str:
        """Add a node with one output; returns the output's name."""
        return self.node_outputs(operator, 1, *inputs, domain=domain, **attributes)[0]

    def node_outputs(self, operator: str, count: int, *inputs: str, domain: str = "", **attributes) -> list[str]:
        """Add a node with ``count`` outputs; returns their names."""
        name = f"{self._prefix}{operator}_{self._count}"
        self._count += 1
        outputs = [name] if count == 1 else [f"{name}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs

    def inner_graph(self, write: Callable[..., Sequence[str]], inputs: int = 0) -> onnx.GraphProto:
        """A graph for an attribute of a node, such as a branch of ``If``.

        Args:
            write: adds its nodes, given the names of its inputs, and returns its outputs, float32. It may use all values that were written before.
            inputs: how many inputs it has, float32.
        """
        outside, self.nodes = self.nodes, []
        name = f"{self._prefix}inner_{self._count}"
        self._count += 1
        names = [f"{name}_{index}" for index in range(inputs)]
        values = [helper.make_tensor_value_info(value, TensorProto.FLOAT, None) for value in [*names, *write(*names)]]
        graph = helper.make_graph(self.nodes, name, values[:inputs], values[inputs:])
        self.nodes = outside
        return graph

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant unless there is one of that name; returns its name in the graph."""
        name = self._prefix + name
        self.constants.setdefault(name, value)
        return name

"""The tasks whose result is an output of the graph."""

from ..manifest import Manifest


class OutputHead:
    """Names the output of the graph that is the result.

    Raises:
        ValueError: the graph does not have it.
    """

    def __init__(self, manifest: Manifest, output: str) -> None:
        if output not in manifest.graph.outputs:
            raise ValueError(f"its graph has no output {output!r}; it has {', '.join(manifest.graph.outputs)}")
        self.output = output

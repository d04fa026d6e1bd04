"""Writes the README's sections on performance and cost from the committed results:

python -m benchmarks.readme
"""

from .cost import RESULTS
from .report import write_readme

SECTIONS = {"performance": ("bench.md", "latency.svg"), "cost": ("cost.md", "cost.svg")}

if __name__ == "__main__":
    write_readme(
        {
            name: f"{(RESULTS / text).read_text()}\n![{name}](benchmarks/results/{plot})\n"
            for name, (text, plot) in SECTIONS.items()
        }
    )

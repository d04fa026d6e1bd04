"""The documents show the committed results, and the small table of the README agrees with the large ones."""

import json
import re
import shutil

import pytest

from benchmarks import MACHINES, RESULTS, cost, publish, report, sts
from containers.tools import PROJECT


def read(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?", text.replace(",", "")))


def test_the_report_is_that_of_the_committed_measurements():
    results = json.loads((RESULTS / "bench.json").read_text())
    assert report.markdown(results) == (RESULTS / "bench.md").read_text()


def test_each_section_is_that_of_the_committed_results():
    for path, sections in publish.sections().items():
        document = path.read_text(encoding="utf-8")
        for name, text in sections.items():
            assert publish.replace(document, name, text) == document


def test_the_readme_s_figures_are_those_of_the_long_tables():
    table = read("README.md").partition("<!-- figures -->")[2].partition("<!-- end of figures -->")[0]
    cells = [cell for row in table.strip().splitlines()[2:] for cell in row.split("|")[2:]]
    shown = numbers(re.sub(r"int8|fp32|bf16|embedding-3", "", " ".join(cells)))
    long = numbers(read("docs/performance.md") + read("docs/fidelity.md"))
    rounded = {f"{float(number):.0f}" for number in long}
    assert len(shown) > 10
    assert shown <= long | rounded


def test_the_table_of_fidelity_is_that_of_the_committed_figures():
    document = read("docs/fidelity.md")
    rows = sts.table(json.loads((RESULTS / "sts.json").read_text())["precisions"]).splitlines()[2:]
    assert len(rows) == 2
    for row in rows:
        assert row.removesuffix("|") in document


def test_a_section_without_its_markers_is_an_error():
    for document in ("no markers", "<!-- a -->\n<!-- end of a -->\n<!-- a -->\n<!-- end of a -->\n"):
        with pytest.raises(ValueError, match="markers of 'a'"):
            publish.replace(document, "a", "text")
    assert publish.replace("<!-- a -->\nold\n<!-- end of a -->", "a", r"\1\n") == "<!-- a -->\n\\1\\n<!-- end of a -->"


@pytest.mark.parametrize("assumption", [["--cold", "0.5"], ["--speed", "1.3"], ["--arm-speed", "0.9"], []])
def test_only_the_default_assumptions_replace_the_committed_prices(tmp_path, monkeypatch, capsys, assumption):
    shutil.copy(RESULTS / "bench.json", tmp_path)
    monkeypatch.setattr(cost, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["cost", *assumption])
    assert cost.main() == 0
    assert "1,769 MB" in capsys.readouterr().out
    written = {path.name for path in tmp_path.iterdir()} - {"bench.json"}
    assert written == (set() if assumption else {"cost.md", "cost.json"})
    for name in written:
        assert (tmp_path / name).read_text() == (RESULTS / name).read_text()


def test_only_what_was_measured_has_an_aim():
    """Without OpenVINO and without a container, as with --quick."""
    results = json.loads((RESULTS / "bench.json").read_text())
    names = {row["name"] for row in report.targets(results)}
    results["warm"]["1"]["OpenVINO bf16"] = "cannot run here"
    results["cold"]["container"] = None

    fewer = {row["name"] for row in report.targets(results)}
    assert names - fewer == {
        "512 tokens, of the time of OpenVINO bf16",
        "chunks of 512 KiB read before the first answer",
    }
    assert "cannot run" not in report.markdown(results)


def test_the_page_s_machine_is_in_the_table_of_machines():
    results = json.loads((RESULTS / "bench.json").read_text())
    assert report.machine_summary(results) in [json.loads(path.read_text()) for path in MACHINES.iterdir()]

"""Golden files per format, and that every format of the page's tables and figures is written."""

from __future__ import annotations

import csv
import io
import json
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from evals.base.errors import UsageError
from reports import export
from reports.cells import Cell, Column, Table

TABLE = Table(
    key="demo",
    title="Scores & more",
    caption="50% of [some] things.",
    columns=(Column("model", "Model", "text"), Column("n", "n"), Column("v", "pass@1", "interval")),
    rows=(
        (Cell("a_b|<c>"), Cell("1,319", 1319.0), Cell("58.3", 0.5831, 0.512, 0.654, strong=True)),
        (Cell("50% $x$ {y}"), Cell("–"), Cell("−4.5", -0.0449, -0.1, 0.01)),
    ),
)


def test_markdown() -> None:
    assert export.to_markdown(TABLE) == (
        "### Scores &amp; more\n\n"
        "| Model | n | pass@1 |\n"
        "|---|---:|---:|\n"
        "| a\\_b\\|&lt;c> | 1,319 | **58.3** [51.2–65.4] |\n"
        "| 50% $x$ {y} | – | −4.5 [−10.0 to +1.0] |\n\n"
        "50% of \\[some\\] things.\n"
    )


def test_csv_holds_full_precision() -> None:
    assert export.to_csv(TABLE) == (
        "model,n,v,v.low,v.high\na_b|<c>,1319,0.5831,0.512,0.654\n50% $x$ {y},,-0.0449,-0.1,0.01\n"
    )


def test_csv_takes_whole_numbers_of_every_type() -> None:
    """A cell's number may be an int, which has no is_integer() before Python 3.12."""
    table = Table(
        "t", "T", "", (Column("n", "n"), Column("m", "m")), ((Cell("1,319", 1319), Cell("0.5", 0.5)),)
    )
    assert export.to_csv(table) == "n,m\n1319,0.5\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("a=1", "a=1"),
        ("base − winner", "base − winner"),
    ],
)
def test_csv_cells_are_no_formulas(text: str, written: str) -> None:
    columns = (Column("model", "Model", "text"), Column("v", "v"), Column("w", "w"))
    table = Table("t", "T", "", columns, ((Cell(text), Cell(text), Cell("−4.5", -4.5)),))
    [_, row] = csv.reader(io.StringIO(export.to_csv(table)))
    assert row == [written, written, "-4.5"]


def test_names_that_differ_in_what_a_file_cannot_have_are_two_files(tmp_path: Path) -> None:
    names = export._Names(tmp_path)
    paths = [names.path(stem, "svg") for stem in ("heat-a/b", "heat-a-b", "heat-A-b")]
    assert [path.name for path in paths] == ["heat-a-b.svg", "heat-a-b-2.svg", "heat-A-b-3.svg"]


def test_latex() -> None:
    assert export.to_latex(TABLE) == (
        "\\begin{table}\n"
        "  \\centering\n"
        "  \\caption{Scores \\& more. 50\\% of [some] things.}\n"
        "  \\label{tab:demo}\n"
        "  \\begin{tabular}{lrr}\n"
        "    \\toprule\n"
        "    Model & n & pass@1 \\\\\n"
        "    \\midrule\n"
        "    a\\_b|\\textless{}c\\textgreater{} & 1,319 & \\textbf{58.3} [51.2--65.4] \\\\\n"
        "    50\\% \\$x\\$ \\{y\\} & -- & $-$4.5 [$-$10.0 to +1.0] \\\\\n"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "\\end{table}\n"
    )


def test_all_tables_are_written_with_the_numbers_of_scores_json(sweep_folder: Path, tmp_path: Path) -> None:
    written = export.export_tables([sweep_folder], ["md", "csv", "tex"], tmp_path)
    assert len(written) == len(set(written)) == 8 * 3
    with (tmp_path / "results.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        folder = row["model"].replace(", seed ", "-seed-")
        scores = json.loads((sweep_folder / "evals" / folder / row["benchmark"] / "scores.json").read_text())
        assert float(row["pass@1"]) == scores["pass@1"]["value"]
        assert [float(row["pass@1.low"]), float(row["pass@1.high"])] == scores["pass@1"]["ci95"]


@pytest.mark.slow
def test_all_figures_are_written_as_png_and_svg(sweep_folder: Path, tmp_path: Path) -> None:
    written = export.export_tables([sweep_folder], ["png", "svg"], tmp_path)
    assert len(written) == len(set(written)) >= 2 * 20
    for path in written:
        if path.suffix == ".png":
            width, height = struct.unpack(">II", path.read_bytes()[16:24])
            assert width > 500
            assert height > 150
        else:
            assert ET.parse(path).getroot().tag.endswith("svg")


def test_bad_requests_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'pdf'; accepted: md, csv, tex, png, svg"):
        export.export_tables([tmp_path], ["pdf"])
    with pytest.raises(UsageError, match="no such folder"):
        export.export_tables([tmp_path / "x"], ["md"])
    with pytest.raises(UsageError, match="at least one"):
        export.export_tables([], ["md"])

"""Every table as Markdown, CSV and LaTeX, every figure as PNG and SVG: the page's own, for papers.

Markdown and LaTeX show what the page shows. CSV holds the numbers behind it in full precision, shares as
fractions of 1, an interval as two more columns.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from evals.base import io as files
from evals.base.errors import UsageError
from reports import comparisons, sections
from reports.cells import Cell, Column, Table
from reports.collect import collect
from reports.figures import svg

log = logging.getLogger(__name__)

FIGURE_FORMATS = ("png", "svg")


def export_tables(folders: Sequence[Path], formats: Sequence[str], out: Path | None = None) -> list[Path]:
    """Writes the report's tables and figures in ``formats`` (md, csv, tex, png, svg); returns the files.

    They go to ``out``, or to ``export/`` in the first folder. A figure of several panels gives a file per
    panel.

    Raises:
        UsageError: an unknown format, no folder, or nothing to report in any of them.
    """
    check_formats(formats)
    if not folders:
        raise UsageError("export: name at least one sweep, run or evaluation folder")
    study = collect(folders)
    if study.empty:
        raise UsageError(" ".join(study.problems))
    target = out or Path(folders[0]) / "export"
    target.mkdir(parents=True, exist_ok=True)
    names = _Names(target)
    written: list[Path] = []
    problems: list[str] = []
    for part in sections.parts(study, comparisons.compare(study), problems):
        for item in part.items:
            if isinstance(item, Table):
                stem = item.key if part.id == item.key else f"{part.id}-{item.key}"
                for name in (name for name in formats if name in TABLE_FORMATS):
                    written.append(names.path(stem, name))
                    files.write_text(written[-1], TABLE_FORMATS[name](item))
                continue
            for name in (name for name in formats if name in FIGURE_FORMATS):
                for panel in item.panels:
                    path = names.path(panel.key, name)
                    try:
                        svg.save(panel, path, item.legend)
                    except Exception as error:  # it must not cost the others
                        problems.append(sections.failure(f"{item.title}, {panel.title}", error))
                        continue
                    written.append(path)
    for problem in problems:
        log.warning("%s", problem)
    return written


class _Names:
    """Paths of exported files, a different one for every table and panel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._given: set[str] = set()

    def path(self, stem: str, suffix: str) -> Path:
        """``stem.suffix`` made fit to be a file's name, and numbered where another one has it already."""
        plain = name = svg.slug(stem)
        number = 1
        while f"{name}.{suffix}".lower() in self._given:
            number += 1
            name = f"{plain}-{number}"
        self._given.add(f"{name}.{suffix}".lower())
        return self._folder / f"{name}.{suffix}"


def check_formats(formats: Sequence[str]) -> Sequence[str]:
    """``formats``, all of which are known.

    Raises:
        UsageError: one is not; the message lists them.
    """
    accepted = (*TABLE_FORMATS, *FIGURE_FORMATS)
    for name in formats:
        if name not in accepted:
            raise UsageError(f"unknown export format {name!r}; accepted: {', '.join(accepted)}")
    return formats


def to_csv(table: Table) -> str:
    """One line per row; an interval column NAME is followed by NAME.low and NAME.high."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    headings = []
    for column in table.columns:
        key = files.csv_text(column.key)
        headings.append(key)
        if column.kind == "interval":
            headings += [f"{key}.low", f"{key}.high"]
    writer.writerow(headings)
    for row in table.rows:
        values: list[str | float | None] = []
        for column, cell in zip(table.columns, row, strict=True):
            values.append(_raw(column, cell))
            if column.kind == "interval":
                values += [cell.low, cell.high]
        writer.writerow(values)
    return target.getvalue()


def _raw(column: Column, cell: Cell) -> str | float | None:
    if column.kind == "text":
        return files.csv_text(cell.text)
    if cell.value is None:
        return None if cell.text == "–" else files.csv_text(cell.text)
    value = float(cell.value)  # an int has no is_integer() before Python 3.12, and mypy takes it for a float
    return int(value) if value.is_integer() and cell.text.replace(",", "").isdigit() else value


def to_markdown(table: Table) -> str:
    """A GitHub table under its title, with the caption below."""
    lines = [
        "| " + " | ".join(_markdown(column.title) for column in table.columns) + " |",
        "|" + "|".join("---" if column.kind == "text" else "---:" for column in table.columns) + "|",
    ]
    for row in table.rows:
        lines.append("| " + " | ".join(_shown(cell, _markdown, "**{}**") for cell in row) + " |")
    return f"### {_markdown(table.title)}\n\n" + "\n".join(lines) + f"\n\n{_markdown(table.caption)}\n"


def to_latex(table: Table) -> str:
    """A table environment with booktabs rules."""
    layout = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    rows = [[_shown(cell, _latex, r"\textbf{{{}}}") for cell in row] for row in table.rows]
    lines = [
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_latex(table.title)}. {_latex(table.caption)}}}",
        f"  \\label{{tab:{svg.slug(table.key)}}}",
        f"  \\begin{{tabular}}{{{layout}}}",
        r"    \toprule",
        "    " + " & ".join(_latex(column.title) for column in table.columns) + r" \\",
        r"    \midrule",
        *("    " + " & ".join(row) + r" \\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _shown(cell: Cell, escape: Callable[[str], str], bold: str) -> str:
    text = bold.format(escape(cell.text)) if cell.strong else escape(cell.text)
    return f"{text} [{escape(cell.bounds)}]" if cell.bounds else text


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|#])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return " ".join(escaped.split())


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "−": "$-$", "–": "--", "±": r"$\pm$", "→": r"$\rightarrow$",
    "·": r"$\cdot$", "×": r"$\times$", "…": r"\ldots{}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


TABLE_FORMATS: dict[str, Callable[[Table], str]] = {"md": to_markdown, "csv": to_csv, "tex": to_latex}

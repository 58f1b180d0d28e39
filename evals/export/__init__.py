"""Evaluations as the files of other programs: inspect's logs, lm-eval's results and samples, parquet tables.

One file a program. What is written, ``harness compare`` and ``harness report`` can read back (evals/formats).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evals.base.registry import accepted
from evals.export import inspect_log, lm_eval_files, parquet
from evals.export.evaluation import Evaluated, find
from evals.task import TaskError

Write = Callable[[Sequence[Evaluated], Path], list[Path]]
TARGETS: dict[str, Write] = {
    "inspect": inspect_log.write,
    "lm-eval": lm_eval_files.write,
    "parquet": parquet.write,
}


def export(folder: Path, to: str, out: Path | None = None) -> list[Path]:
    """Writes the evaluations that ``folder`` holds in the format ``to``; returns the files.

    ``folder`` is an evaluation's, one of several benchmarks, a run's or a sweep's. The files go to ``out``
    or to ``export/`` in the folder; those of a run's or sweep's policies into a folder each.

    Raises:
        TaskError: an unknown format, a folder without evaluations, a damaged one, or a package is missing.
    """
    if to not in TARGETS:
        raise TaskError(f"--to {to}: {accepted(to, list(TARGETS))}")
    groups: dict[str, list[Evaluated]] = {}
    for each in find(folder):
        groups.setdefault(each.group, []).append(each)
    target = out or (folder if folder.is_dir() else folder.parent) / "export"
    return [path for group, found in groups.items() for path in TARGETS[to](found, target / group)]

"""What lm-eval found, as a folder's files: lm_eval.json, samples.jsonl and scores.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evals.base import io
from evals.engine import ScoringEngine
from evals.lm_eval.names import PREFIX, title
from evals.lm_eval.samples import Document, deciding_metrics, documents_hash
from evals.scores import Scores
from evals.stats.tables import Bill

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class LmEvalResult:
    """What lm-eval found.

    ``figures`` maps a task (of a group: the group's own rows first) to its metrics: "acc,none" and its
    "acc_stderr,none". ``scores`` is None where no metric of a document is right or wrong (a perplexity).
    ``cost``: the bill of a server whose price is known.
    """

    name: str
    figures: Figures
    scores: Scores | None
    cost: Bill | None = None

    def to_json(self) -> dict[str, Any]:
        """The benchmark's entry in ``harness eval --json``."""
        scored = self.scores.to_json() if self.scores is not None else {}
        cost = {} if self.cost is None else {"cost": self.cost}
        return {"benchmark": PREFIX + self.name, **scored, **cost, "lm_eval": self.figures}


def frame_of(engine: ScoringEngine, name: str, key: str, lm: Any, max_tokens: int | None = None) -> Scores:
    """The scores of an evaluation but for its documents; ``max_tokens``: instead of the tasks' own limits."""
    release = version("lm_eval")
    protocol: dict[str, Any] = {"name": f"lm-eval {release}"}
    if lm.chat is not None:
        protocol = {"name": f"lm-eval {release}, template={lm.chat.name}", "template": lm.chat.name}
    if max_tokens is not None and not lm.limits:
        protocol["name"] += f", max_gen_toks={max_tokens}"
        protocol["max_gen_toks"] = max_tokens
    if lm.limits:
        told = [f"max_gen_toks={most} for {asked}" for asked, most in sorted(lm.limits.items())]
        protocol["name"] = ", ".join([protocol["name"], *told])
        protocol["max_gen_toks"] = min(lm.limits.values())
    if lm.shortened:
        protocol["prompts_shortened"] = len(lm.shortened)
    return Scores(
        benchmark=PREFIX + title(name),
        questions=(),
        isolation="none needed",
        votes=False,
        model=engine.model_hash,
        engine=engine.name,
        key=key,
        protocol=protocol,
        source=f"lm-eval {release}",
    )


def write(
    folder: Path,
    name: str,
    found: Mapping[str, Any],
    rows: Sequence[Document],
    notes: Sequence[str],
    frame: Scores,
) -> LmEvalResult:
    """Writes samples.jsonl, scores.json where documents are right or wrong, and lm_eval.json last."""
    io.write_bytes(folder / "samples.jsonl", (io.json_line(document.row) for document in rows))
    deciding = {task: ",".join(metric) for task, metric in deciding_metrics(found).items()}
    scores = None
    if rows and all(document.correct is not None for document in rows):
        scores = replace(
            frame,
            questions=tuple(document.stats() for document in rows),
            data_hash=documents_hash(found),
            protocol={**(frame.protocol or {}), "metric": ", ".join(sorted(set(deciding.values())))},
            warnings=tuple(notes),
        )
        scores.write(folder)
    else:
        (folder / "scores.json").unlink(missing_ok=True)
    figures = _figures(found)
    record = {
        "benchmark": PREFIX + name,
        "key": frame.key,
        "model": frame.model,
        "protocol": frame.protocol,
        "documents": len(rows),
        "data_hash": documents_hash(found),
        "metric": deciding,
        "results": figures,
        "versions": {task: str(number) for task, number in found["versions"].items()},
        "n-shot": found["n-shot"],
        "notes": list(notes),
        **({} if frame.cost is None else {"cost": frame.cost}),
    }
    io.write_json(folder / "lm_eval.json", record)
    return LmEvalResult(name, figures, scores, frame.cost)


def _figures(found: Mapping[str, Any]) -> Figures:
    """Every number that lm-eval reports, groups before their tasks."""
    rows = {**found.get("groups", {}), **found["results"]}
    return {
        task: {metric: float(value) for metric, value in row.items() if _is_number(value)}
        for task, row in rows.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

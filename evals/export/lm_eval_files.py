"""lm-evaluation-harness: results_TIME.json with a row a task, samples_TASK_TIME.jsonl with a line a document.

The metric is exact_match: for each document the share of its responses that are right, as lm-eval has it
where a task repeats. lm-eval knows documents by number and has no verdict for each repeat, so a row has both
under the key ``grpo_harness`` besides, and reads back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.base import io
from evals.export.evaluation import Evaluated
from evals.formats.lm_eval import OWN

METRIC, FILTER = "exact_match", "none"


def write(evaluations: Sequence[Evaluated], out: Path) -> list[Path]:
    """The results of all of ``evaluations`` in one file, and the samples of each in another."""
    written = max(each.written for each in evaluations)
    time = written.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    paths = [out / f"results_{time}.json"]
    io.write_json(paths[0], _results(evaluations, written.timestamp()))
    for each in evaluations:
        paths.append(out / f"samples_{each.folder.resolve().name}_{time}.jsonl")
        io.write_lines(paths[-1], _documents(each))
    return paths


def _results(evaluations: Sequence[Evaluated], date: float) -> dict[str, Any]:
    tasks = {each.folder.resolve().name: each for each in evaluations}
    first = evaluations[0].scores
    results: dict[str, Any] = {}
    for name, each in tasks.items():
        found = each.scores.pass_at_1()
        results[name] = {
            "alias": each.scores.benchmark,
            "sample_len": len(each.scores.questions),
            f"{METRIC},{FILTER}": found.value,
            f"{METRIC}_stderr,{FILTER}": "N/A" if found.stderr is None else found.stderr,
        }
    return {
        "results": results,
        "group_subtasks": {name: [] for name in tasks},
        "configs": {name: _config(name, each) for name, each in tasks.items()},
        "versions": dict.fromkeys(tasks, "N/A"),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {name: {METRIC: True} for name in tasks},
        "n-samples": {name: _counts(each) for name, each in tasks.items()},
        "config": {"model": first.engine, "model_args": {"pretrained": first.model}, "limit": None},
        "date": date,
        "model_source": first.engine,
        "model_name": first.model,
        "model_name_sanitized": first.model.replace("/", "__"),
    }


def _config(name: str, each: Evaluated) -> dict[str, Any]:
    return {
        "task": name,
        "output_type": "generate_until",
        "repeats": each.scores.samples[1],
        "num_fewshot": 0,
        "metric_list": [{"metric": METRIC, "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"protocol": each.scores.protocol, "data_hash": each.scores.data_hash},
    }


def _counts(each: Evaluated) -> dict[str, int]:
    asked = len(each.scores.questions)
    return {"original": asked + len(each.scores.missing), "effective": asked}


def _documents(each: Evaluated) -> Iterator[dict[str, Any]]:
    sampling = dict((each.scores.protocol or {}).get("sampling") or {})
    for number, (name, rows) in enumerate(each.samples.items()):
        question = each.questions.get(name)
        prompt = rows[0].prompt or (question.text if question else "")
        gold = question.gold if question else ""
        yield {
            "doc_id": number,
            "doc": {"id": name, "question": question.text if question else prompt, "answer": gold},
            "target": gold,
            "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": sampling}},
            "resps": [[row.response for row in rows]],
            "filtered_resps": [row.answer or "" for row in rows],
            "filter": FILTER,
            "metrics": [METRIC],
            METRIC: sum(row.correct for row in rows) / len(rows),
            OWN: {"id": name, "correct": [row.correct for row in rows]},
        }

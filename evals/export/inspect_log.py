"""inspect_ai: an .eval log for each evaluation, written by the package itself, for ``inspect view``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from evals.base import io
from evals.export.evaluation import Evaluated
from evals.records import Sample
from evals.task import TaskError

SCORER = "correct"
SETTINGS = ("temperature", "top_p", "top_k", "max_tokens", "seed")
"""Of a protocol's sampling: those that inspect has a place for."""


def write(evaluations: Sequence[Evaluated], out: Path) -> list[Path]:
    """BENCHMARK.eval for each evaluation.

    Raises:
        TaskError: inspect_ai is not installed.
    """
    try:
        log = import_module("inspect_ai.log")
    except ImportError:
        raise TaskError("inspect_ai is not installed: pip install 'grpo-harness[inspect]'") from None
    paths = []
    out.mkdir(parents=True, exist_ok=True)
    for each in evaluations:
        paths.append(out / f"{each.folder.resolve().name}.eval")
        aside = out / f".{paths[-1].stem}.{os.getpid()}.eval"
        try:
            log.write_eval_log(log.EvalLog.model_validate(_log(each)), str(aside), format="eval")
            os.replace(aside, paths[-1])
        finally:
            aside.unlink(missing_ok=True)
        io.sync_folder(out)
    return paths


def _log(each: Evaluated) -> dict[str, Any]:
    """The log as the package's own models validate it."""
    scores = each.scores
    found = scores.pass_at_1()
    metrics = {"accuracy": found.value} | ({} if found.stderr is None else {"stderr": found.stderr})
    samples = [_sample(scores.model, *row) for row in each.each()]
    time = each.written.isoformat(timespec="seconds")
    told = [scores.benchmark, scores.model, scores.key, time]
    sampling = (scores.protocol or {}).get("sampling") or {}
    return {
        "status": "success",
        "eval": {
            "eval_id": hashlib.blake2b(
                "\n".join(told).encode("utf-8", "replace"), digest_size=11
            ).hexdigest(),
            "created": time,
            "task": scores.benchmark,
            "task_id": scores.benchmark,
            "dataset": {
                "name": scores.benchmark,
                "samples": len(scores.questions),
                "sample_ids": [question.id for question in scores.questions],
            },
            "model": scores.model or "unknown",
            "model_generate_config": {
                key: sampling[key] for key in SETTINGS if sampling.get(key) is not None
            },
            "config": {"epochs": scores.samples[1]},
            "metadata": {"protocol": scores.protocol, "data_hash": scores.data_hash},
        },
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [
                {
                    "name": SCORER,
                    "scorer": SCORER,
                    "metrics": {name: {"name": name, "value": value} for name, value in metrics.items()},
                    "metadata": {"metric": "pass@1", "ci95": list(found.ci95)},
                }
            ],
        },
        "stats": {"started_at": time, "completed_at": time},
        "samples": samples,
    }


def _sample(model: str, sample: Sample, question: str, gold: str) -> dict[str, Any]:
    asked = sample.prompt or question
    said = {"role": "assistant", "content": sample.response, "source": "generate", "model": model}
    stop = "max_tokens" if sample.finish_reason == "length" else "stop"
    scored: dict[str, Any] = {
        "value": "C" if sample.correct else "I",
        "answer": sample.answer,
        "explanation": sample.detail,
        "metadata": {"status": sample.status},
    }
    if sample.duel is not None:
        scored["metadata"]["won"] = sample.duel.won / sample.duel.weight
    return {
        "id": sample.id,
        "epoch": sample.sample + 1,
        "input": asked,
        "target": gold,
        "messages": [{"role": "user", "content": asked}, said],
        "output": {"model": model, "choices": [{"message": said, "stop_reason": stop}], **_usage(sample)},
        "scores": {SCORER: scored},
        "metadata": {"question": question},
        "total_time": sample.seconds,
    }


def _usage(sample: Sample) -> Mapping[str, Any]:
    if sample.tokens is None:
        return {}
    asked = sample.prompt_tokens or 0
    counts = {"input_tokens": asked, "output_tokens": sample.tokens, "total_tokens": asked + sample.tokens}
    return {"usage": counts}

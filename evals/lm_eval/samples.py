"""lm-eval's documents as rows of samples.jsonl: what was asked, what came back, and every metric of it.

A row a document: ``id, sample (0), prompt, response, responses, finish_reason, tokens, seconds, target,
answer, correct, status, detail, metrics``. What lm-eval does not tell, or a kind of request does not have, is
null: a choice by likelihood has neither an end nor tokens of its own, a perplexity is neither right nor
wrong. ``responses`` has an entry for each request and repeat: ``text, finish_reason, tokens`` of a
completion, ``text, loglikelihood, greedy`` of a continuation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.lm_eval.replies import Reply
from evals.stats.metrics import QuestionStats

Found = Mapping[str, Any]
"""What lm-eval's ``simple_evaluate`` answers."""


@dataclass(frozen=True)
class Document:
    """One document: its row, and whether it is right by its task's first metric that says so."""

    row: dict[str, Any]
    correct: bool | None

    def stats(self) -> QuestionStats:
        """The document as a question that was answered once."""
        ends = self.row["finish_reason"]
        tokens = self.row["tokens"]
        return QuestionStats(
            id=self.row["id"],
            n=1,
            correct=int(bool(self.correct)),
            unparsed=None,
            truncated=None if ends is None else int(ends == "length"),
            tokens=tokens,
            tokens_correct=tokens if self.correct or tokens is None else 0,
        )


def deciding_metrics(found: Found) -> dict[str, tuple[str, str]]:
    """For each task (metric, filter): the first, in lm-eval's order, that is 0 or 1 for every document."""
    chosen = {}
    for task, rows in found["samples"].items():
        metric = _right_or_wrong(found["results"].get(task, {}), rows)
        if metric is not None:
            chosen[task] = metric
    return chosen


def documents(found: Found) -> Iterator[Document]:
    """Every document of every task, in the order of tasks' names and documents' numbers."""
    deciding = deciding_metrics(found)
    alone = len(found["samples"]) == 1
    for task, rows in sorted(found["samples"].items()):
        by_number: dict[int, list[Mapping[str, Any]]] = {}
        for row in rows:
            by_number.setdefault(int(row["doc_id"]), []).append(row)
        for number, filtered in sorted(by_number.items()):
            name = str(number) if alone else f"{task}/{number}"
            yield _document(name, filtered, deciding.get(task))


def documents_hash(found: Found) -> str:
    """A digest of documents, targets and all that was asked: of the data set as lm-eval built it."""
    digest = hashlib.blake2b(digest_size=16)
    for task, rows in sorted(found["samples"].items()):
        for row in sorted(rows, key=lambda row: (int(row["doc_id"]), str(row["filter"]))):
            told = [task, row["doc_id"], row["doc"], row["target"], row["arguments"]]
            digest.update(json.dumps(told, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _right_or_wrong(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    for name in results:
        metric, _, kept = name.partition(",")
        if "_stderr" in metric:
            continue
        values = [row.get(metric) for row in rows if row["filter"] == kept]
        once = Counter(row["doc_id"] for row in rows if row["filter"] == kept)
        if values and all(value in (0, 1) for value in values) and max(once.values()) == 1:
            return metric, kept
    return None


def _document(name: str, rows: Sequence[Mapping[str, Any]], deciding: tuple[str, str] | None) -> Document:
    """The document of one row for each of the task's filters."""
    metric, kept = deciding or ("", rows[0]["filter"])
    chosen = next(row for row in rows if row["filter"] == kept)
    correct = None if deciding is None else bool(chosen[metric])
    prompt, response, responses = _replies(chosen)
    ends = [reply["finish_reason"] for reply in responses if reply.get("finish_reason")]
    tokens = [reply["tokens"] for reply in responses if reply.get("tokens") is not None]
    answers = [answer for answer in chosen["filtered_resps"] if isinstance(answer, str)]
    row = {
        "id": name,
        "sample": 0,
        "prompt": prompt,
        "response": response,
        "responses": responses,
        # Of several responses to a document one that was cut tells that the limit was too low.
        "finish_reason": None if not ends else "length" if "length" in ends else "stop",
        "tokens": sum(tokens) if tokens else None,
        "seconds": None,
        "target": _plain(chosen["target"]),
        "answer": str(answers[0]) if answers else None,
        "correct": correct,
        "status": None if correct is None else "correct" if correct else "wrong",
        "detail": "",
        "metrics": {
            f"{name},{each['filter']}": _plain(each.get(name)) for each in rows for name in each["metrics"]
        },
    }
    return Document(row, correct)


def _replies(row: Mapping[str, Any]) -> tuple[str, str | None, list[dict[str, Any]]]:
    """What was asked, the response (of continuations the likeliest), and everything that came back."""
    replies: list[dict[str, Any]] = []
    prompt = str(row["arguments"][0][0])
    for args, repeats in zip(row["arguments"], row["resps"], strict=True):
        for reply in repeats:
            if isinstance(reply, Reply):
                prompt = reply.prompt
                ends = {"finish_reason": reply.finish_reason, "tokens": reply.tokens}
                replies.append({"text": reply.whole, **ends})
            elif isinstance(reply, str):
                replies.append({"text": reply, "finish_reason": None, "tokens": None})
            elif isinstance(reply, tuple | list):
                value, greedy = reply
                replies.append(
                    {"text": str(args[1]), "loglikelihood": _plain(value), "greedy": _plain(greedy)}
                )
            else:
                prompt = ""
                replies.append({"text": str(args[0]), "loglikelihood": _plain(reply), "greedy": None})
    if not replies:
        return prompt, None, replies
    likely = max(replies, key=lambda reply: reply.get("loglikelihood") or -math.inf)
    first = replies[0]
    return prompt, (likely if "loglikelihood" in first else first)["text"], replies


def _plain(value: Any) -> Any:
    """``value`` as JSON has it: a number that is none (NaN, infinite) is null."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None

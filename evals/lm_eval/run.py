"""One task of lm-eval, run through an engine and written into a folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock

from evals.base.errors import UsageError, first_line
from evals.engine import ScoringEngine, StreamingEngine, UnansweredError
from evals.lm_eval.chat import Chat
from evals.lm_eval.earlier import claim, notes_on, read_earlier
from evals.lm_eval.model import engine_lm
from evals.lm_eval.names import PREFIX, find, split_part, title
from evals.lm_eval.results import LmEvalResult, frame_of, write
from evals.lm_eval.samples import documents
from evals.price import Price, bill
from evals.replies import Replies
from evals.task import TaskError, part_of
from evals.templates import PLAIN, Template

logger = logging.getLogger(__name__)

REPLIES = "replies.jsonl"


def evaluate(
    engine: object,
    name: str,
    folder: Path,
    seed: int = 0,
    template: str | Template = PLAIN,
    max_tokens: int | None = None,
) -> LmEvalResult:
    """Runs lm-eval's task ``name`` through ``engine`` and writes what came out into ``folder``.

    What the same model replied before, in this folder, is not asked again, whether that call was killed or
    not. ``seed`` is the base of sampled completions' seeds. A ``template`` of kind "chat" writes lm-eval's
    messages (chat.py), and its filters see what follows the reasoning; any other leaves its text as
    it is. ``max_tokens`` is the longest completion, in place of the task's ``max_gen_toks``, which leaves a
    model that reasons no room.

    Raises:
        TaskError: lm-eval is not installed or does not know the task, the task's data are not there, the
            engine cannot score continuations, the folder holds something else, or another process is at
            work in it.
    """
    if not isinstance(engine, ScoringEngine):
        raise TaskError(
            f"{PREFIX}{name}: this engine samples only; use --engine transformers or vllm, or a server"
        )
    whole, limit = split_part(name)
    manager, task = find(whole)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            chat = Chat.of(template, engine.tokenizer)
            key = claim(folder, engine, name, seed, chat, max_tokens)
            earlier = read_earlier(folder)
            lm = engine_lm(engine, seed, chat)
            found = _run(lm, manager, task, name, folder / REPLIES, limit, max_tokens)
            rows = list(documents(found))
            new = notes_on(earlier.metrics, rows, lm.replies.asked) if earlier else []
            for note in new:
                logger.warning("%s: %s", folder, note)
            of_part = part_of(PREFIX + title(name)) if limit is not None else ()
            notes = list(dict.fromkeys([*of_part, *(earlier.notes if earlier else ()), *new]))
            price = engine.price if isinstance(engine, StreamingEngine) else None
            cost = None if price is None else bill(lm.replies.counts(), Price(*price))
            frame = replace(frame_of(engine, name, key, lm, max_tokens), cost=cost)
            return write(folder, name, found, rows, notes, frame)
    except filelock.Timeout:
        raise TaskError(f"{folder}: another process is evaluating into this folder") from None


def _run(
    lm: Any,
    manager: Any,
    task: str,
    name: str,
    replies: Path,
    limit: int | None,
    max_tokens: int | None,
) -> dict[str, Any]:
    """What lm-eval finds of ``task``; what ``replies`` holds is not asked again."""
    import lm_eval

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm.replies = Replies(replies)
    try:
        found: dict[str, Any] | None = lm_eval.simple_evaluate(
            lm,
            tasks=[task],
            task_manager=manager,
            limit=limit,
            gen_kwargs=None if max_tokens is None else {"max_gen_toks": max_tokens},
            **(lm.chat.settings if lm.chat else {}),
        )
    except (TaskError, UnansweredError, UsageError):
        raise
    except Exception as error:  # data sets and 200 tasks' own code: every class there is
        raise TaskError(
            f"{PREFIX}{name}: lm-eval failed: {type(error).__name__}: {first_line(error)}"
        ) from error
    assert found is not None, "lm-eval answers None in the workers of a distributed run alone"
    return found

"""Asking a language model for judgements: many at once, each kept, so that none is asked for twice.

The judge is the one that the HARNESS_JUDGE variables name (evals/grading/judge_client.py). Its replies are
kept in the cache folder, for other runs and launches too.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from evals.grading.judge_client import PAUSES, Judge, JudgeClient, JudgeError
from evals.tasks.task import TaskError
from harness import files
from harness.errors import UsageError
from harness.tiny.build import cache_folder

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Requests at a time."""


def named_judge() -> Judge:
    """The judge that the environment names.

    Raises:
        UsageError: it names none.
    """
    try:
        return Judge.from_environment()
    except TaskError as error:
        raise UsageError(f"rewards.judge: {str(error).partition(': ')[2]}") from None


class Asked:
    """Values that are read from a judge's replies to prompts; None where it is silent or gives none."""

    def __init__(
        self,
        template: str,
        value: Callable[[str], float | None],
        requests: int = 0,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """``template``: what the prompts have in common; another one has other replies. ``requests``: how
        many times the judge is asked at most, 0 for as often as needed.

        Raises:
            UsageError: no judge is named.
        """
        judge = named_judge()
        self._client = JudgeClient(judge, pauses)
        self._value = value
        self._left: int | None = requests or None
        key = hashlib.blake2b(f"{judge.model}/{template}".encode(), digest_size=12).hexdigest()
        self._path = cache_folder() / "judge" / f"{key}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        files.drop_torn_line(self._path)
        self._known: dict[str, float | None] = {
            row["prompt"]: row["value"] for row in files.read_lines(self._path)
        }

    def values(self, prompts: Sequence[str]) -> list[float | None]:
        """One value per prompt; what is not known yet is asked for."""
        new = [prompt for prompt in dict.fromkeys(prompts) if _digest(prompt) not in self._known]
        new = self._affordable(new)
        self._client.forgive()  # a judge that was away may be back
        with ThreadPoolExecutor(AT_ONCE) as pool:
            replies = list(pool.map(self._reply, new))
        for prompt, reply in zip(new, replies, strict=True):
            if reply is not None:
                self._keep(prompt, reply)
        return [self._known.get(_digest(prompt)) for prompt in prompts]

    def _affordable(self, new: list[str]) -> list[str]:
        if self._left is None:
            return new
        if new and not self._left:
            log.warning("rewards.judge: its requests are used up; new responses go without its score")
        taken = new[: self._left]
        self._left -= len(taken)
        return taken

    def _reply(self, prompt: str) -> str | None:
        try:
            return str(self._client.choice([{"role": "user", "content": prompt}])["text"])
        except JudgeError as error:
            log.warning("rewards.judge: %s; the response goes without its score", error)
            return None

    def _keep(self, prompt: str, reply: str) -> None:
        """A reply without a value is kept too: at temperature 0 it would come again."""
        value = self._value(reply)
        if value is None:
            log.warning("rewards.judge: a reply without a score: %.80r", reply)
        self._known[_digest(prompt)] = value
        files.append_line(self._path, {"prompt": _digest(prompt), "value": value, "reply": reply[-500:]})


def _digest(prompt: str) -> str:
    return hashlib.blake2b(prompt.encode(), digest_size=16).hexdigest()

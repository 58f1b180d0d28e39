"""Asking a language model for judgements: many at once, each kept, so that none is asked for twice.

The judge is the one that the HARNESS_JUDGE variables name (evals/graders/judge/client.py). Its replies are
kept in the cache folder, for other runs and launches too. How many requests a stage has made is counted in a
file of the run's, so that a limit holds for all of its processes and launches together.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock

from evals.base import io
from evals.base.errors import UsageError
from evals.base.http import PAUSES
from evals.graders.base import Response
from evals.graders.judge.base import spoken
from evals.graders.judge.client import Judge, JudgeClient, JudgeError
from evals.records import numbered_lines, parse_line
from evals.task import TaskError
from harness.models.cache import cache_folder

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Requests at a time."""
READING = 2
"""Raised where replies come to be read differently, so that what was read before is not taken for it."""


def named_judge() -> Judge:
    """The judge that the environment names.

    Raises:
        UsageError: it names none.
    """
    try:
        return Judge.from_environment()
    except TaskError as error:
        raise UsageError(f"rewards.judge: {str(error).partition(': ')[2]}") from None


class Allowance:
    """How often a judge may still be asked: ``most`` times in all, 0 for as often as needed.

    ``path`` holds what was used; processes and launches that share it share the limit.
    """

    def __init__(self, most: int = 0, path: Path | None = None) -> None:
        self._most, self._path = most, path
        self._used = 0

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` requests may be made; they count as made."""
        if not self._most:
            return wanted
        if self._path is None:
            return self._granted(wanted)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{self._path}.lock"):
            try:
                self._used = int(io.read_json(self._path)["requests"]) if self._path.exists() else 0
            except (ValueError, KeyError, TypeError, OverflowError):
                raise UsageError(
                    f'{self._path}: cannot be read; write {{"requests": N}} there, with N the number of '
                    "requests made so far, or delete it to start at 0"
                ) from None
            granted = self._granted(wanted)
            io.write_json(self._path, {"requests": self._used})
            return granted

    def _granted(self, wanted: int) -> int:
        granted = max(0, min(wanted, self._most - self._used))
        self._used += granted
        return granted


class Asked:
    """Values that are read from a judge's replies to prompts; None where it is silent or gives none."""

    def __init__(
        self,
        template: str,
        value: Callable[[str], float | None],
        allowance: Allowance,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """``template``: what the prompts have in common; another one has other replies.

        Raises:
            UsageError: no judge is named.
        """
        judge = named_judge()
        self._client = JudgeClient(judge, pauses)
        self._value = value
        self._allowance = allowance
        key = hashlib.blake2b(f"{READING}/{judge.model}/{template}".encode(), digest_size=12).hexdigest()
        self._path = cache_folder() / "judge" / f"{key}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        io.drop_torn_line(self._path)
        self._known = _known(self._path)

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
        granted = self._allowance.take(len(new))
        if granted < len(new):
            log.warning(
                "rewards.judge: the request limit is reached; %d new responses are left without its score",
                len(new) - granted,
            )
        return new[:granted]

    def _reply(self, prompt: str) -> str | None:
        try:
            return self._client.ask([{"role": "user", "content": prompt}]).text
        except JudgeError as error:
            log.warning("rewards.judge: %s; the response is left without its score", error)
            return None

    def _keep(self, prompt: str, reply: str) -> None:
        """A reply without a value is kept too: at temperature 0 it would come again."""
        value = self._value(spoken(Response(reply)))
        if value is None:
            log.warning("rewards.judge: a reply without a score: %.80r", reply)
        self._known[_digest(prompt)] = value
        io.append_line(self._path, {"prompt": _digest(prompt), "value": value, "reply": reply[-500:]})


def _known(path: Path) -> dict[str, float | None]:
    """The values that ``path`` keeps; a damaged line is passed over with a warning: it is asked for again."""
    known: dict[str, float | None] = {}
    damaged = []
    for number, line in numbered_lines(path) if path.exists() else ():
        try:
            row = parse_line(line)
            prompt, value = row["prompt"], row["value"]
            if not isinstance(prompt, str) or not isinstance(value, float | int | None):
                raise ValueError("is not a judgement")
            known[prompt] = value
        except (ValueError, KeyError):
            damaged.append(number)
    if damaged:
        log.warning(
            "%s, line %d: not a valid judgement (%d such lines); they are ignored, and requested again",
            *(path, damaged[0], len(damaged)),
        )
    return known


def _digest(prompt: str) -> str:
    return hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

"""Asking a language model for judgements: many at once, each kept, so that none is asked for twice.

The judge is the one that the HARNESS_JUDGE variables name (evals/graders/judge/client.py). Its replies are
kept in the cache folder, for other runs and launches too. How many requests a stage has made is counted in a
file of the run's, so that a limit holds for all of its processes and launches together.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from evals.base import io
from evals.base.errors import UsageError
from evals.base.http import PAUSES
from evals.graders.base import Response
from evals.graders.judge.base import spoken
from evals.graders.judge.client import Judge, JudgeClient, JudgeError, Reply
from evals.price import Price
from evals.records import numbered_lines, parse_line
from evals.task import TaskError
from harness.models.cache import cache_folder

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Requests at a time."""
COUNTED = ("requests", "prompt_tokens", "reply_tokens", "price")
"""What ``Allowance`` counts in its file."""
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

    ``path`` holds what was used, and what the replies cost; processes and launches that share it share the
    limit. {"requests", "prompt_tokens", "reply_tokens", "price"}, the last three where a price is known.
    """

    def __init__(self, most: int = 0, path: Path | None = None) -> None:
        self._most, self._path = most, path
        self._used: dict[str, float] = {}

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` requests may be made; they count as made."""
        if not self._most:
            return wanted
        with self._told() as used:
            granted = max(0, min(wanted, self._most - int(used.get("requests", 0))))
            used["requests"] = used.get("requests", 0) + granted
            return granted

    def paid(self, prompt_tokens: int, reply_tokens: int, price: tuple[float, float]) -> None:
        """Counts what replies took; ``price``: of a million tokens of each."""
        cost = Price(*price).of(prompt_tokens, reply_tokens)
        new = {"prompt_tokens": prompt_tokens, "reply_tokens": reply_tokens, "price": cost}
        with self._told() as used:
            used.update({name: used.get(name, 0) + value for name, value in new.items()})

    def replied(self, reply: Reply, judge: Judge) -> None:
        """Counts what one reply of ``judge`` took, where its price is known."""
        if judge.price is not None:
            self.paid(reply.prompt_tokens or 0, reply.tokens or 0, judge.price)

    @contextmanager
    def _told(self) -> Iterator[dict[str, float]]:
        """What was used, to be changed in the block."""
        if self._path is None:
            yield self._used
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{self._path}.lock"):
            used = self._read(self._path) if self._path.exists() else {}
            yield used
            io.write_json(self._path, used)

    @staticmethod
    def _read(path: Path) -> dict[str, float]:
        told = _object(path)
        numbers = {name: io.number(told.get(name, 0)) for name in COUNTED}
        if not told or None in numbers.values():
            raise UsageError(
                f'{path}: is not readable; write {{"requests": N}} there, N being how often the '
                "judge has been asked, or delete it to begin at 0"
            )
        return {name: value for name, value in numbers.items() if value is not None and name in told}


def _object(path: Path) -> dict[str, Any]:
    try:
        told = io.read_json(path)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {}


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
        self._price = judge.price
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
        self._pay([reply for reply in replies if reply is not None])
        for prompt, reply in zip(new, replies, strict=True):
            if reply is not None:
                self._keep(prompt, reply.text)
        return [self._known.get(_digest(prompt)) for prompt in prompts]

    def _affordable(self, new: list[str]) -> list[str]:
        granted = self._allowance.take(len(new))
        if granted < len(new):
            log.warning(
                "rewards.judge: the request limit is reached; %d new responses are left without its score",
                len(new) - granted,
            )
        return new[:granted]

    def _pay(self, replies: Sequence[Reply]) -> None:
        if self._price is not None and replies:
            asked = sum(reply.prompt_tokens or 0 for reply in replies)
            self._allowance.paid(asked, sum(reply.tokens or 0 for reply in replies), self._price)

    def _reply(self, prompt: str) -> Reply | None:
        try:
            return self._client.ask([{"role": "user", "content": prompt}])
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

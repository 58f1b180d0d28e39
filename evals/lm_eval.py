"""Any task that lm-evaluation-harness knows, asked of an engine that is loaded already: ``lm_eval:NAME``.

lm-eval decides everything: data, prompts, few-shot examples, stop strings, sampling, filters, metrics. Only
what asks the model is ours (``EngineLM``). NAME is a task, group or tag of lm-eval, or the path of a task's
YAML file.

    FOLDER/lm_eval.json  what was asked for, and every figure as lm-eval tells it, with its standard error
    FOLDER/scores.json   where each document is right or wrong, so that models can be compared on them
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evals.engine import Request, Sampling, ScoringEngine, sample_seed
from evals.metrics import QuestionStats
from evals.samples import write_json
from evals.scores import Scores
from evals.tasks.task import TaskError

if TYPE_CHECKING:
    from lm_eval.api.model import TemplateLM

PREFIX = "lm_eval:"
DEFAULT_TOKENS = 256  # of a completion, where a task does not say: lm-eval's own default

T = TypeVar("T")
CACHE = "requests"
BLOCK = 512  # requests in a call of the engine

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class LmEvalResult:
    """What lm-eval found.

    ``figures`` maps a task (of a group: the group's own rows first) to its metrics: "acc,none" and its
    "acc_stderr,none". ``scores`` is None where no metric of a document is right or wrong (a perplexity).
    """

    name: str
    figures: Figures
    scores: Scores | None

    def to_json(self) -> dict[str, Any]:
        """The benchmark's entry in ``harness eval --json``."""
        scored = self.scores.to_json() if self.scores is not None else {}
        return {"benchmark": PREFIX + self.name, **scored, "lm_eval": self.figures}


def evaluate(engine: object, name: str, folder: Path, seed: int = 0) -> LmEvalResult:
    """Runs lm-eval's task ``name`` through ``engine`` and writes what came out into ``folder``.

    What is there already from the same model, task and version of lm-eval is read, not done again. Killed in
    the middle, it goes on: finished requests are in lm-eval's own cache, a file of this model and task that
    goes when the task is done; sampled completions are not, they are drawn again. ``seed`` is the base of
    their seeds.

    Raises:
        TaskError: lm-eval is not installed or does not know the task, the task's data are not there, the
            engine cannot score continuations, or the folder holds something else.
    """
    if not isinstance(engine, ScoringEngine):
        raise TaskError(f"{PREFIX}{name}: this engine samples only; use --engine transformers or vllm")
    manager, task = _find(name)
    key = _key(engine, name, seed)
    kept = _kept(folder, name, key)
    if kept is not None:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder / f"{CACHE}-{key}"
    found = _run(engine_lm(engine, seed), manager, task, name, cache)
    figures = _figures(found)
    questions, metrics = _questions(found)
    scores = _scores(engine, name, key, questions, metrics) if questions else None
    if scores is not None:
        scores.write(folder)
    record = {"benchmark": PREFIX + name, "key": key, "metric": metrics, "results": figures}
    versions = {name: str(version) for name, version in found["versions"].items()}
    write_json(folder / "lm_eval.json", {**record, "versions": versions, "n-shot": found["n-shot"]})
    for file in folder.glob(f"{CACHE}-*"):
        file.unlink()
    return LmEvalResult(name, figures, scores)


def folder_name(name: str) -> str:
    """The folder of a task's results: "lm_eval-mmlu"."""
    return "lm_eval-" + (Path(name).stem if _is_file(name) else name)


def check(name: str) -> None:
    """Raises ``TaskError`` where lm-eval is not installed or does not know ``name``."""
    _find(name)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _find(name: str) -> tuple[Any, str]:
    """lm-eval's task manager, and what it calls the task."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise TaskError(
            f"{PREFIX}{name}: lm-eval is not installed; pip install 'grpo-harness[lm-eval]'"
        ) from None
    if not _is_file(name):
        manager = TaskManager()
        if name not in manager.task_index:
            near = sorted(known for known in manager.task_index if name.lower() in known.lower())[:5]
            hint = f"; near it: {', '.join(near)}" if near else "; `lm-eval ls tasks` lists what it knows"
            raise TaskError(f"{PREFIX}{name}: lm-eval knows no such task{hint}")
        return manager, name
    from lm_eval.tasks._yaml_loader import load_yaml

    path = Path(name)
    try:
        task = str(load_yaml(path, resolve_func=False)["task"])
    except FileNotFoundError:
        raise TaskError(f"{PREFIX}{name}: no such file") from None
    except Exception as error:  # a YAML library's own classes
        raise TaskError(f"{PREFIX}{name}: is no task of lm-eval ({_first_line(error)})") from None
    return TaskManager(include_path=str(path.parent), include_defaults=False), task


def _run(lm: TemplateLM, manager: Any, task: str, name: str, cache: Path) -> dict[str, Any]:
    import lm_eval

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    try:
        found: dict[str, Any] | None = lm_eval.simple_evaluate(
            lm, tasks=[task], task_manager=manager, use_cache=str(cache)
        )
    except TaskError:
        raise
    except Exception as error:  # data sets and 200 tasks' own code: every class there is
        raise TaskError(
            f"{PREFIX}{name}: lm-eval failed: {type(error).__name__}: {_first_line(error)}"
        ) from error
    assert found is not None, "lm-eval answers None in the workers of a distributed run alone"
    return found


def engine_lm(engine: ScoringEngine, seed: int = 0) -> TemplateLM:
    """The engine as a model of lm-eval."""
    from lm_eval import utils
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import normalize_gen_kwargs

    class EngineLM(TemplateLM):  # type: ignore[misc]
        """Tokenises as lm-eval's HFLM does; equal prompts become one request of several samples."""

        tokenizer = engine.tokenizer

        @property
        def eot_token_id(self) -> int:
            return int(engine.tokenizer.eos_token_id)

        @property
        def prefix_token_id(self) -> int:
            start = engine.tokenizer.bos_token_id
            return self.eot_token_id if start is None else int(start)

        @property
        def tokenizer_name(self) -> str:
            return str(engine.tokenizer.name_or_path)

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            text: str = engine.tokenizer.apply_chat_template(
                chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
            )
            return text

        def tok_encode(
            self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any
        ) -> list[int]:
            start = engine.tokenizer.bos_token
            special = add_special_tokens
            if special is None:
                special = not (start is not None and string.startswith(start))
            ids: list[int] = engine.tokenizer.encode(string, add_special_tokens=special)
            return ids

        def _loglikelihood_tokens(
            self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_kwargs: Any
        ) -> list[tuple[float, bool]]:
            found = []
            for block in _blocks(requests):
                values = engine.loglikelihoods(
                    [(context, continuation) for _, context, continuation in block]
                )
                for (texts, _, _), value in zip(block, values, strict=True):
                    self.cache_hook.add_partial("loglikelihood", texts, value)
                found += values
            return found

        def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
            totals = []
            for request in requests:
                windows = utils.get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=engine.positions,
                    context_len=1,
                )
                pairs = [utils.make_disjoint_window(window) for window in windows]
                totals.append(sum(value for value, _ in engine.loglikelihoods(pairs)))
                self.cache_hook.add_partial("loglikelihood_rolling", request.args, totals[-1])
            return totals

        def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
            texts = [""] * len(requests)
            for kwargs, numbers in _alike(requests).items():
                sampling = _sampling(
                    normalize_gen_kwargs(json.loads(kwargs), DEFAULT_TOKENS), engine.positions
                )
                room = engine.positions - sampling.max_tokens
                prompts: dict[str, list[int]] = {}
                for number in numbers:
                    prompts.setdefault(self._shortened(requests[number].args[0], room), []).append(number)
                for block in _blocks(list(prompts.items())):
                    asked = [
                        Request(prompt, len(members), sample_seed(seed, prompt), logprobs=False)
                        for prompt, members in block
                    ]
                    for (_, members), group in zip(block, engine.generate(asked, sampling), strict=True):
                        for number, completion in zip(members, group.completions, strict=True):
                            texts[number] = completion.text
                            self.cache_hook.add_partial(
                                "generate_until", requests[number].args, completion.text
                            )
            return texts

        def _shortened(self, prompt: str, room: int) -> str:
            """The prompt's end: as many of its last tokens as there is room for."""
            ids = self.tok_encode(prompt)
            return prompt if len(ids) <= room else str(engine.tokenizer.decode(ids[-room:]))

    return EngineLM()


def _blocks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, ``BLOCK`` at a time: what a kill loses at most."""
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


def _alike(requests: Sequence[Any]) -> dict[str, list[int]]:
    """The requests' places by their sampling settings, as JSON."""
    found: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        found.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)
    return found


def _sampling(kwargs: Mapping[str, Any], positions: int) -> Sampling:
    """lm-eval's generation settings as ours; at least one position is left to the prompt."""
    return Sampling(
        temperature=float(kwargs["temperature"]) if kwargs.get("do_sample") else 0.0,
        top_p=float(kwargs.get("top_p", 1.0)),
        top_k=int(kwargs.get("top_k", 0)),
        max_tokens=min(int(kwargs["max_gen_toks"]), positions - 1),
        stop=tuple(word for word in kwargs["until"] if word),
    )


def _key(engine: ScoringEngine, name: str, seed: int) -> str:
    from importlib.metadata import version

    own = Path(name).read_text(encoding="utf-8") if _is_file(name) else ""
    asked = [engine.model_hash, engine.name, name, own, seed, version("lm_eval")]
    return hashlib.blake2b(json.dumps(asked).encode(), digest_size=16).hexdigest()


def _kept(folder: Path, name: str, key: str) -> LmEvalResult | None:
    """What ``folder`` holds of this very evaluation."""
    from evals.scores import read_scores

    path = folder / "lm_eval.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
        same, figures = record["key"] == key, record["results"]
    except (ValueError, KeyError, TypeError):
        raise TaskError(f"{path}: is not readable; delete the folder or name another one") from None
    if not same:
        raise TaskError(f"{folder}: holds results of another model, task or seed; name another folder")
    beside = folder / "scores.json"
    return LmEvalResult(name, figures, read_scores(beside) if beside.exists() else None)


def _figures(found: Mapping[str, Any]) -> Figures:
    """Every number that lm-eval reports, groups before their tasks."""
    rows = {**found.get("groups", {}), **found["results"]}
    return {
        task: {metric: float(value) for metric, value in row.items() if _is_number(value)}
        for task, row in rows.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _questions(found: Mapping[str, Any]) -> tuple[tuple[QuestionStats, ...], dict[str, str]]:
    """Every document as a question answered once, and by which metric; empty where a task has none."""
    questions: list[QuestionStats] = []
    metrics = {}
    for task, rows in sorted(found["samples"].items()):
        chosen = _right_or_wrong(found["results"].get(task, {}), rows)
        if chosen is None:
            return (), {}
        metrics[task] = ",".join(chosen)
        metric, kept = chosen
        alone = len(found["samples"]) == 1
        questions += [
            QuestionStats(str(row["doc_id"]) if alone else f"{task}/{row['doc_id']}", 1, int(row[metric]))
            for row in sorted(rows, key=lambda row: int(row["doc_id"]))
            if row["filter"] == kept
        ]
    return tuple(questions), metrics


def _right_or_wrong(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The first metric (and filter) of a task, in lm-eval's order, that is 0 or 1 for every document."""
    for name in results:
        metric, _, kept = name.partition(",")
        if "_stderr" in metric:
            continue
        values = [row.get(metric) for row in rows if row["filter"] == kept]
        once = Counter(row["doc_id"] for row in rows if row["filter"] == kept)
        if values and all(value in (0, 1) for value in values) and max(once.values()) == 1:
            return metric, kept
    return None


def _scores(
    engine: ScoringEngine,
    name: str,
    key: str,
    questions: tuple[QuestionStats, ...],
    metrics: Mapping[str, str],
) -> Scores:
    from importlib.metadata import version

    release = version("lm_eval")
    return Scores(
        benchmark=PREFIX + (Path(name).stem if _is_file(name) else name),
        questions=questions,
        isolation="none needed",
        votes=False,
        model=engine.model_hash,
        engine=engine.name,
        key=key,
        protocol={"name": f"lm-eval {release}", "metric": ", ".join(sorted(set(metrics.values())))},
        source=f"lm-eval {release}",
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

"""``evaluate``: a model or a run on benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals import templates
from evals.base.notebook import shown
from evals.lm_eval import LmEvalResult
from evals.scores import Scores
from evals.task import folder_of
from evals.templates import Template
from harness import config
from harness.api.run import RunResult

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.engines.registry import EngineKind

MEASURED = "measured"
"""RUN/evals/measured: what ``evaluate(run, ...)`` measures where no folder is named."""


@dataclass(frozen=True)
class Evaluation(Mapping[str, Scores]):
    """A model on benchmarks: its scores by the benchmark's name."""

    folder: Path
    """FOLDER/BENCHMARK/samples.jsonl and scores.json."""
    model: str
    scores: Mapping[str, Scores]
    suites: tuple[LmEvalResult, ...] = ()
    """What lm-eval's tasks came to."""

    def __getitem__(self, benchmark: str) -> Scores:
        return self.scores[benchmark]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def table(self) -> DataFrame:
        """A row a benchmark; rates are fractions of 1, low and high are pass@1's 95% interval."""
        import pandas as pd

        return pd.DataFrame([_row(scores) for scores in self.scores.values()])

    def samples(self, benchmark: str) -> DataFrame:
        """A row a graded response: id, sample, response, answer, correct, status, detail, tokens, seconds.

        Raises:
            KeyError: nothing of that name was measured.
        """
        import pandas as pd

        from evals.records import read_samples

        file = self.folder / folder_of(self.scores[benchmark].benchmark) / "samples.jsonl"
        return pd.DataFrame([sample.as_row() for sample in read_samples(file)])

    def _repr_html_(self) -> str:
        told = [f"{name}: {caution}" for name, scores in self.scores.items() for caution in scores.cautions]
        return shown(f"{self.model}: {self.folder}", self.table, *told)


def _row(scores: Scores) -> dict[str, Any]:
    one, k = scores.pass_at_1(), scores.samples[0]
    votes = scores.votes and not scores.compared
    return {
        "benchmark": scores.benchmark,
        "questions": len(scores.questions),
        "samples": k,
        "pass@1": one.value,
        "low": one.low,
        "high": one.high,
        f"cons@{k}": scores.cons_at_k(k).value if votes else None,
        "unparsed": scores.unparsed,
        "truncated": scores.truncated,
    }


def evaluate(
    model: RunResult | config.Policy | str | Path,
    benchmarks: str | Sequence[str],
    samples: int | None = None,
    *,
    engine: EngineKind = "transformers",
    protocol: str = "r1",
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    template: str | Template | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Samples a model on benchmarks and grades it, as ``harness eval`` does.

    What the folder holds already is not done again; interrupted or killed, the same call goes on.

    Args:
        model: A run (its newest checkpoint), a hub id, a folder, an embedded policy ("tiny"), or a whole
            ``[policy]`` table.
        benchmarks: Task names, one or several; ``lm_eval:NAME`` is a task of lm-eval.
        samples: Samples per question; by default the benchmark's usual.
        engine: "transformers" or "vllm".
        protocol: "r1", "greedy" or "model" (its generation_config.json): what the settings below start from.
        temperature: Sampling temperature; 0 is greedy.
        top_p: Nucleus sampling's probability mass.
        max_tokens: The longest response, in tokens.
        template: The prompt template, a name or a ``Template``; by default the one that a run was trained
            on, else chat-boxed, or r1-zero where the tokenizer has no chat template.
        seed: The base of every sample's seed.
        folder: Where BENCHMARK/ folders go; by default RUN/evals/measured, or ``runs/eval-MODEL``.
        quiet: No progress.

    Raises:
        UsageError: a model, benchmark, protocol or template that is not there, or a folder that holds samples
            of another model or protocol.

    Example:
        >>> found = evaluate("tiny", ["tiny-aime"], samples=16)  # doctest: +SKIP
        >>> found["tiny-aime"].pass_at_1().ci95  # doctest: +SKIP
    """
    from evals.base.progress import Progress
    from harness.train import benchmarks as measuring

    policy, named, usual = _policy(model)
    template = usual if template is None else template
    asked = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "template": None if template == templates.AUTO else template,
    }
    tasks, suites = measuring.split_names([benchmarks] if isinstance(benchmarks, str) else benchmarks)
    chosen = measuring.protocol_for(policy, named, protocol, samples, seed, asked)
    policy = policy.model_copy(update={"template": chosen.template})  # lm-eval's tasks are asked by it too
    target = _folder(model, policy) if folder is None else Path(folder)
    measured = measuring.evaluate(
        policy,
        [(task, chosen) for task in tasks],
        target,
        Progress(quiet),
        engine,
        suites,
        seed,
        suites_max_tokens=max_tokens,
    )
    scores = {each.benchmark: each for each in measured.scores}
    return Evaluation(target, policy.model, scores, tuple(measured.suites))


def _policy(model: RunResult | config.Policy | str | Path) -> tuple[config.Policy, str, str | Template]:
    """What is loaded, the name of what it began as, and the template that it was trained on."""
    if isinstance(model, RunResult):
        trained = model.experiment.policy
        found = trained.model_copy(update={"model": str(model.checkpoint), "revision": None})
        return found, trained.model, trained.template
    if isinstance(model, config.Policy):
        return model, model.model, model.template
    return config.Policy(model=str(model)), str(model), templates.AUTO


def _folder(model: RunResult | config.Policy | str | Path, policy: config.Policy) -> Path:
    if isinstance(model, RunResult):
        return model.folder / "evals" / MEASURED
    from harness.models.sources import short_name  # takes seconds

    return Path("runs") / f"eval-{short_name(policy.model)}"

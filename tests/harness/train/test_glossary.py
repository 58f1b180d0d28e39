"""Every number that a run writes is explained in docs/metrics.md."""

from __future__ import annotations

import re
from pathlib import Path

from evals.base.io import read_lines
from evals.base.progress import Progress
from harness.config import read_experiment
from harness.config.shipped import experiment_file
from harness.models.policy import Policy, save_policy
from harness.train.pipeline import run_experiment

DOCS = Path(__file__).parents[3] / "docs"
NOT_METRICS = {"step", "stage", "time"}
SETTINGS = [
    *("grpo.steps=1", "grpo.completions_per_step=8", "grpo.group_size=4", "grpo.max_tokens=16"),
    *("grpo.eval_every=1", "grpo.beta=0.01", "grpo.entropy_bonus.target=0.3", "grpo.refill_rounds=1"),
    "grpo.loss=clip_cov",
    *("data.train=tiny-math:train[:64]", "data.dev=tiny-math:dev[:2]", "data.dev_samples=2"),
    *("eval.benchmarks=[]", "tracking.wandb=off"),
]


def explained() -> set[str]:
    """The names in the first column of the page's tables."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    return set(re.findall(r"(?m)^\| `([^`]+)` \|", page))


def unexplained(names: set[str]) -> set[str]:
    patterns = [
        re.escape(name).replace("NAME", r"\w+").replace(r"cons@k", r"cons@\d+") for name in explained()
    ]
    return {name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)}


def test_what_a_run_writes_is_explained(tiny_random_policy: Policy, tmp_path: Path) -> None:
    save_policy(tiny_random_policy, tmp_path / "policy")
    settings = [*SETTINGS, f"policy.model={tmp_path / 'policy'}"]
    experiment = read_experiment([experiment_file("tiny-quickstart")], settings)
    plain = experiment.model_copy(update={"sweep": None})
    assert run_experiment(plain, tmp_path / "run", Progress(quiet=True)) == "done"
    written = {name for row in read_lines(tmp_path / "run" / "metrics.jsonl") for name in row}
    assert {"reward", "kl", "entropy", "entropy/weight", "chosen", "dev/pass@1", "seconds/update"} <= written
    assert unexplained(written - NOT_METRICS) == set()


def test_what_the_architecture_names_is_explained() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    listed = text.partition("Names used by the GRPO stage:")[2].partition("\n\n")[0]
    names = set()
    for name in re.findall(r"`([^`]+)`", listed):
        head, _, last = name.rpartition("/")
        names |= {f"{head}/{one}".removeprefix("/") for one in last.split("|")}
    assert len(names) > 25
    assert unexplained({name.replace("cons@k", "cons@4") for name in names}) == set()

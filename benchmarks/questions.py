"""A million rows of one's own: seconds and memory of reading, `data check` and reaching the first step.

    python benchmarks/questions.py [--rows 1000000] [--model tiny] [--folder DIR] [--only first_step]

``first_step`` is that of a "grpo" stage on a file of questions, ``first_sft_step`` that of an "sft" stage on
a file of prompts and completions, each of which is tokenised before it. Each is done in a process of its
own, with a thousand rows and with all of them: the difference of their peaks is what the rows take beside
libraries and model. The model's own weights are made ready before.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

FEW = 1000
EXAMPLES = ".examples.jsonl"
"""The end of the name of what is learned from, beside the questions."""


class FirstStepError(Exception):
    """Training has come to its first step."""


def write_rows(path: Path, rows: int, columns: tuple[str, str] = ("question", "answer")) -> None:
    """Word problems of some 150 characters, all different, and what they come to."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as handle:
        for number in range(rows):
            a, b, c = (rng.randint(2, 99) for _ in range(3))
            text = (
                f"Order {number}: a shop sells {a} apples on Monday and {b} on Tuesday. On Wednesday it "
                f"sells {c} times as many as on both days together. How many does it sell on Wednesday?"
            )
            handle.write(json.dumps(dict(zip(columns, (text, str((a + b) * c)), strict=True))) + "\n")


def prepare(path: str, model: str) -> None:
    """The model's files, where an embedded one is yet to be pretrained."""
    from harness import config
    from harness.models.sources import config_folder

    config_folder(config.Policy(model=model))


def read(path: str, model: str) -> None:
    """Every row looked at, as for any use of the file."""
    from evals.tasks import registry

    registry.load_spec(path)


def check(path: str, model: str) -> None:
    """`harness data check FILE --model MODEL`."""
    from evals.tasks.registry import EVERYONE
    from harness.cli.questions import check_questions

    check_questions(path, EVERYONE, model)


def first_step(path: str, model: str) -> None:
    """`harness train` on questions, up to where its first step begins."""
    stage = {"kind": "grpo", "steps": 1, "max_tokens": 32, "completions_per_step": 8}
    _train(path, model, {"train": path, "dev": "tiny-math[:20]"}, stage)


def first_sft_step(path: str, model: str) -> None:
    """`harness train` on examples, up to where its first step begins."""
    examples = str(Path(path).with_suffix(EXAMPLES))
    stage = {"kind": "sft", "data": examples, "steps": 1, "max_tokens": 32}
    _train(path, model, {"train": "tiny-aime:train[:20]", "dev": "tiny-math[:20]"}, stage)


def _train(path: str, model: str, data: dict[str, str], stage: dict[str, Any]) -> None:
    from evals.base.progress import Progress
    from harness import config
    from harness.train.grpo.stage import GrpoLearner
    from harness.train.pipeline import run_experiment
    from harness.train.sft.stage import SftLearner

    def begins(*_: object) -> Any:
        raise FirstStepError

    for learner in (GrpoLearner, SftLearner):
        learner.step = begins
    raw = {
        "name": "million",
        "policy": {"model": model},
        "data": data,
        "stages": [stage],
        "tracking": {"wandb": "off"},
    }
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as out:
        try:
            run_experiment(config.validate(raw, "million.toml"), Path(out) / "run", Progress(quiet=True))
        except FirstStepError:
            return
    raise SystemExit("training ended before its first step")


WAYS = (read, check, first_step, first_sft_step)


def measured(do: Callable[[str, str], None], path: str, model: str) -> tuple[float, float, float]:
    """Seconds, those of processor time, and the process's peak in MiB."""
    began, busy = time.perf_counter(), time.process_time()
    do(path, model)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - began, time.process_time() - busy, peak


def apart(do: Callable[[str, str], None], path: Path, model: str) -> tuple[float, float, float]:
    """``measured`` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        return alone.submit(measured, do, str(path), model).result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--only", choices=[way.__name__ for way in WAYS])
    parser.add_argument(
        "--folder", type=Path, help="where the rows are written (default: a temporary folder)"
    )
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        files = {rows: Path(folder) / f"{rows}.jsonl" for rows in (FEW, options.rows)}
        for rows, path in files.items():
            write_rows(path, rows)
            write_rows(path.with_suffix(EXAMPLES), rows, ("prompt", "completion"))
        apart(prepare, files[FEW], options.model)
        for do in WAYS if options.only is None else [way for way in WAYS if way.__name__ == options.only]:
            found = {rows: apart(do, path, options.model) for rows, path in files.items()}
            (few, _, least), (seconds, busy, peak) = found[FEW], found[options.rows]
            print(
                f"{do.__name__}: {seconds:.1f} s for {options.rows:,} questions, {busy:.1f} of them busy "
                f"({few:.1f} s for {FEW:,}); peak {peak:,.0f} MiB, {peak - least:,.0f} more than for {FEW:,}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""A sweep folder as the harness writes it, made up in a second: what the report is tested against.

Ten trials over five settings (some pruned, one failed), a winner trained again with two fresh seeds, and
the base and both winners evaluated on three benchmarks, with hostile responses among the samples.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.engine import Sampling
from evals.graders.integer import IntegerGrader
from evals.protocols import Protocol
from evals.records import parse_sample
from evals.scores import Scores, tally
from evals.task import Question
from harness import config
from reports.page import build_report
from tests.reports.axe import fetch

ROW = ("id", "sample", "response", "answer", "status", "detail", "finish_reason", "tokens", "seconds")

HOSTILE = (
    "<script>window.hacked = 1; alert('x')</script> so the answer is 7",
    '</script></style></details></template><img src=x onerror="window.hacked=2">'
    "<svg onload='window.hacked=3'>",
    "null \x00 byte, bell \x07, escape \x1b[31m, RTL \u202egnp.exe\u202c, \u200f mark, isolate \u2066",
    '{{ 7 * 7 }} {% raw %} ${alert(1)} <!-- --><a href="javascript:window.hacked=4">link</a> ]]> &lt;',
    "lone surrogate \ud83d and <think>never closed \\boxed{\\frac{1}{2}",
)
BROKEN_UTF8 = (
    b'{"id": "made-up/0", "sample": 63, "response": "broken \xff\xfe\xc3( utf-8", "answer": null, '
    b'"correct": false, "status": "unparsed", "detail": "", "finish_reason": "length", "tokens": 200, '
    b'"seconds": 0.1}\n'
)

# questions, samples, base's rate, winner's rate
BENCHMARKS = {
    "tiny-aime": (30, 64, 0.46, 0.82),
    "tiny-math": (60, 8, 0.38, 0.56),
    "tiny-code": (20, 8, 0.55, 0.57),
}
STEPS, EVERY = 60, 10


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep; read it only."""
    return write_sweep(tmp_path_factory.mktemp("reports") / "quick-sweep")


@pytest.fixture
def fresh_sweep(sweep_folder: Path, tmp_path: Path) -> Path:
    """A finished sweep of one's own, to damage."""
    return shutil.copytree(sweep_folder, tmp_path / "quick-sweep")


@pytest.fixture(scope="session")
def page(sweep_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that sweep."""
    return build_report([sweep_folder], tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium for all tests of a session: starting one takes seconds."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.common.exceptions import SessionNotCreatedException

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed")

    def start(attempts: int = 3) -> Any:
        """A busy machine may need longer than the driver's minute."""
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        try:
            return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        except SessionNotCreatedException:
            if attempts == 1:
                raise
            return start(attempts - 1)

    started = start()
    yield started
    started.quit()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core."""
    return fetch(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Any:
    """The browser at 1280 pixels, with nothing open and nothing left of what other files did."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    resize(chromium, 1280)
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    return chromium


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    """The browser at 1280 pixels with the report as if it were freshly opened: loading it takes longer."""
    if browser.current_url.partition("#")[0] != page.as_uri():
        browser.get(page.as_uri())
    browser.execute_script(AFRESH)
    yield browser
    resize(browser, 1280)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


AFRESH = """
document.activeElement?.blur();
document.getElementById("pair").close();
for (const form of document.querySelectorAll("#sample-filters, #scope")) form.reset();
narrowPage();
for (const one of document.querySelectorAll("details[open]")) one.open = false;
localStorage.clear();
delete document.documentElement.dataset.theme;
history.replaceState(null, "", location.pathname);
scrollTo(0, 0);
"""


def resize(browser: Any, width: int) -> None:
    """The window's width; a narrow one is a phone's."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    # Chromium tells of a new width before the page is laid out for it.
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def write_sweep(folder: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    experiment = config.validate(EXPERIMENT, "fixture")
    _write(folder / "experiment.toml", config.dump_toml(experiment))
    _write_json(folder / "manifest.json", MANIFEST)
    _write_json(folder / "status.json", {"state": "done", "reason": "", "time": 1_770_000_900.0})
    trials = [_write_trial(folder, number, rng) for number in range(10)]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    best = max(complete, key=lambda trial: trial["value"])
    confirmation = []
    for fresh in (1, 2):
        run = folder / f"confirm/trial-{best['number']}/seed-{fresh}"
        history = _write_run(run, best["params"], rng, STEPS, "done", "")
        confirmation.append({"seed": fresh, "run": run.relative_to(folder).as_posix(), **_last(history)})
    _write_evals(folder / "evals", seed)
    winner = {
        "trial": best["number"],
        "params": best["params"],
        "selection": {"value": best["value"], "stderr": best["stderr"]},
        "base": {"value": 0.452, "stderr": 0.021},
        "confirmation": confirmation,
    }
    summary = {
        "name": "quick-sweep",
        "objective": "dev/pass@1",
        "direction": "maximize",
        "trials": trials,
        "winner": winner,
        "selection": {
            "candidate": winner, "complete_trials": len(complete), "expected_luck": 0.023,
            "improvement": {"value": 0.405, "stderr": 0.028, "ci95": [0.35, 0.46]},
        },
        "importances": {"grpo.learning_rate": 0.71, "grpo.beta": 0.12, "grpo.group_size": 0.09,
                        "grpo.rewards.format": 0.05, "grpo.epsilon": 0.03},
        "evals": {"base": "evals/base", "winner": ["evals/winner-seed-1", "evals/winner-seed-2"]},
    }  # fmt: skip
    _write_json(folder / "summary.json", summary)
    return folder


def _write_trial(folder: Path, number: int, rng: np.random.Generator) -> dict[str, Any]:
    params = {
        "grpo.group_size": int(rng.choice([4, 8, 16])),
        "grpo.epsilon": round(float(rng.uniform(0.1, 0.4)), 4),
        "grpo.beta": float(10 ** rng.uniform(-4, -1)),
        "grpo.learning_rate": float(10 ** rng.uniform(-5, -2.6)),
        "grpo.rewards.format": round(float(rng.uniform(0, 0.5)), 4),
    }
    trial: dict[str, Any] = {"number": number, "params": params, "attempts": 1, "seconds": 40.0 + number}
    run = f"trials/{number}/attempt-1"
    if number == 6:
        _write_run(folder / run, params, rng, 14, "failed", "grpo: loss is not finite at step 15")
        return trial | {"state": "failed", "value": None, "stderr": None, "history": [], "attempts": 3,
                        "reason": "grpo: loss is not finite at step 15", "run": run}  # fmt: skip
    steps = {2: 20, 5: 30, 8: 20}.get(number, STEPS)
    state, reason = ("done", "") if steps == STEPS else ("pruned", f"below the median at step {steps}")
    history = _write_run(folder / run, params, rng, steps, state, reason)
    ended = {"state": "complete" if state == "done" else "pruned", "history": history, "reason": reason}
    return trial | ended | _last(history) | {"run": run}


def _write_run(
    run: Path, params: Mapping[str, Any], rng: np.random.Generator, steps: int, state: str, reason: str
) -> list[dict[str, Any]]:
    """A run whose pass@1 saturates; too high a learning rate makes it collapse."""
    raw = json.loads(json.dumps(EXPERIMENT))
    for key, value in params.items():
        config.set_key(raw, key, value)
    _write(run / "experiment.toml", config.dump_toml(config.validate(raw, "fixture")))
    _write_json(run / "manifest.json", MANIFEST)
    _write_json(run / "status.json", {"state": state, "reason": reason, "time": 1_770_000_000.0 + steps})
    rate = math.log10(float(params["grpo.learning_rate"]))
    gain = 0.42 * math.exp(-((rate + 3.9) ** 2) / 0.5)
    collapse = max(0.0, rate + 3.0)
    lines, history = [], []
    for step in range(1, steps + 1):
        x = step / STEPS
        p = 0.45 + gain * (1 - math.exp(-4 * x)) - collapse * x
        noise = rng.normal(0, 0.02, 6)
        row: dict[str, Any] = {
            "step": step, "stage": "grpo", "time": 1_770_000_000.0 + step,
            "reward": p + 0.1 + noise[0], "reward/accuracy": p + noise[0], "reward/format": 0.4 + 0.5 * x,
            "reward_std": 0.3, "zero_variance": 0.2 + 0.3 * x,
            "kl": 0.05 * x * (1 + collapse * 20) + abs(noise[1]) / 20,
            "entropy": 0.6 - 0.35 * x + noise[2] / 2,
            "clip_fraction": 0.02 + abs(noise[3]) / 3, "ratio/max": 1.4,
            "grad_norm": 0.6 + noise[4], "loss": noise[5] / 10, "learning_rate": params["grpo.learning_rate"],
            "length": 60 + 25 * x + 30 * noise[4], "length/correct": 55 + 20 * x, "length/wrong": 75 + 40 * x,
            "truncated": 0.02, "drift": 1e-6, "tokens": 8000 * step, "seconds/rollout": 0.5,
        }  # fmt: skip
        if step % EVERY == 0:
            value = float(np.clip(p + rng.normal(0, 0.015), 0, 1))
            row |= {"dev/pass@1": value, "dev/stderr": 0.018, "dev/truncated": 0.01, "dev/unparsed": 0.03}
            history.append({"step": step, "value": value, "stderr": 0.018})
        lines.append(json.dumps(row))
    _write(run / "metrics.jsonl", "\n".join(lines) + "\n")
    _write(run / "samples.jsonl", "".join(json.dumps(row) + "\n" for row in completions(steps)))
    return history


def completions(steps: int) -> list[dict[str, Any]]:
    """What training keeps: the reward falls with every step, so that the newest are the worst."""
    return [
        {
            "step": step, "id": f"train/{step}", "prompt": f"What is {step} + 1?",
            "response": f"<think>{HOSTILE[step % len(HOSTILE)]}</think> It is {step + 1}.",
            "rewards": {"accuracy": 1.0 - step / steps, "format": None}, "reward": 1.0 - step / steps,
            "advantage": -0.5, "finish_reason": "stop",
        }
        for step in range(1, steps + 1)
    ]  # fmt: skip


def _write_evals(folder: Path, seed: int) -> None:
    for benchmark, (questions, k, base, winner) in BENCHMARKS.items():
        rng = np.random.default_rng([seed, questions])
        hardness = rng.normal(0, 1.2, questions)
        for name, rate in (("base", base), ("winner-seed-1", winner), ("winner-seed-2", winner - 0.015)):
            p = 1 / (
                1 + np.exp(hardness - 1.7 * math.log(rate / (1 - rate)) + rng.normal(0, 0.15, questions))
            )
            correct = rng.random((questions, k)) < p[:, None]
            rows = [
                _sample(benchmark, q, i, bool(correct[q, i]), rng)
                for q in range(questions)
                for i in rng.permutation(k).tolist()
            ]
            if benchmark == "tiny-aime":  # the first sample of each question is shown
                for number, row in enumerate(r for r in rows if r["sample"] == 0):
                    text = HOSTILE[number % len(HOSTILE)]
                    row |= {"response": text, "answer": None, "status": "unparsed", "correct": False}
            write_eval(folder / name / benchmark, benchmark, rows)
    with (folder / "base" / "tiny-aime" / "samples.jsonl").open("rb+") as handle:
        lines = [line for line in handle if not _is_sample(line, "made-up/0", 63)]
        handle.seek(0)
        handle.truncate()
        handle.writelines([*lines, BROKEN_UTF8])


def write_eval(folder: Path, benchmark: str, rows: Sequence[Mapping[str, Any]], **scores: Any) -> Path:
    """samples.jsonl and scores.json of one benchmark."""
    _write(folder / "samples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    _write_json(folder / "scores.json", score(benchmark, rows) | scores)
    return folder


def score(benchmark: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """scores.json of these rows, by the code that writes it."""
    seen = [parse_sample({key: row[key] for key in ROW}) for row in rows]
    ids = list(dict.fromkeys(sample.id for sample in seen))
    votes = benchmark != "tiny-code"
    stats = tally(seen, [Question(key, "") for key in ids], IntegerGrader(), votes)
    protocol = Protocol("tiny", Sampling(max_tokens=200), "tags", len(rows) // len(ids))
    isolation = "landlock+seccomp" if benchmark == "tiny-code" else "none needed"
    return Scores(
        benchmark, stats, isolation, votes, protocol=protocol.as_dict(), engine="transformers"
    ).to_json()


def _sample(
    benchmark: str, question: int, index: int, correct: bool, rng: np.random.Generator
) -> dict[str, Any]:
    gold = str(question * 37 % 1000)
    answer: str | None = gold if correct else gold + str(rng.choice([1, 1, 1, 2, 3]))
    kind = rng.random()
    status, finish = ("correct" if correct else "wrong"), "stop"
    if not correct and kind < 0.06:
        status, answer = "unparsed", None
        finish = "length" if kind < 0.03 else "stop"
    elif not correct and kind < 0.063:
        status, answer = "grader_error", None
    steps = "\n".join(f"{a} + {b} = {a + b}" for a, b in rng.integers(1, 99, (4, 2)).tolist())
    response = f"<think>\nStart with the first number.\n{steps}\nWait, let me check that again.\n</think>\n"
    response += "" if answer is None else f"<answer>{answer}</answer>"
    return {
        "id": f"made-up/{question}", "sample": index, "response": response,
        "answer": answer, "correct": correct, "status": status,
        "detail": "timed out" if status == "grader_error" else "", "finish_reason": finish,
        "tokens": int(rng.integers(40, 200)), "seconds": 0.05,
    }  # fmt: skip


def _is_sample(line: bytes, question: str, index: int) -> bool:
    row = json.loads(line)
    return bool(row["id"] == question and row["sample"] == index)


def _last(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"value": history[-1]["value"], "stderr": history[-1]["stderr"]}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    _write(path, json.dumps(value, indent=2))


EXPERIMENT: dict[str, Any] = {
    "name": "quick-sweep",
    "seed": 0,
    "policy": {"model": "tiny", "template": "tags"},
    "data": {"train": ["arithmetic:train"], "dev": ["arithmetic:dev[:100]"], "dev_samples": 4},
    "stages": [
        {"kind": "grpo", "steps": STEPS, "completions_per_step": 128, "group_size": 8, "eval_every": EVERY,
         "rewards": {"accuracy": 1.0, "format": 0.2}}
    ],
    "eval": {"benchmarks": list(BENCHMARKS), "samples": {"tiny-aime": 64, "tiny-math": 8, "tiny-code": 8},
             "temperature": 1.0, "top_p": 1.0, "max_tokens": 200},
    "sweep": {
        "objective": "dev/pass@1", "trials": 10,
        "space": {
            "grpo.group_size": [4, 8, 16],
            "grpo.epsilon": {"low": 0.1, "high": 0.4},
            "grpo.beta": {"low": 1e-4, "high": 0.1, "log": True},
            "grpo.learning_rate": {"low": 1e-5, "high": 2.5e-3, "log": True},
            "grpo.rewards.format": {"low": 0.0, "high": 0.5},
        },
    },
}  # fmt: skip

MANIFEST: dict[str, Any] = {
    "command": ["harness", "sweep", "experiments/tiny-quickstart.toml", "--out", "runs/quick-sweep"],
    "time": "2026-02-02T10:15:00Z",
    "python": "3.11.2",
    "versions": {"grpo-harness": "0.1.0", "torch": "2.13.0", "transformers": "5.19.0", "optuna": "5.0.0"},
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "seeds": {"experiment": 0},
    "hardware": {
        "machine": "x86_64",
        "processor": "A processor",
        "cores": 2,
        "memory_gib": 7.7,
        "accelerators": [],
    },
}

"""The commands as a user types them: exit codes, one sentence for bad input, results that add up."""

from __future__ import annotations

import contextlib
import html
import json
import os
import platform
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from harness import cli
from harness.config import read_experiment
from harness.config.shipped import experiment_file
from harness.models.policy import Policy, save_policy
from reports.compare_page import MINUS

COMMANDS = (
    "quickstart",
    "sweep",
    "train",
    "eval",
    "score",
    "compare",
    "report",
    "view",
    "reproduce",
    "track",
    "data",
    "doctor",
)


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Harness = Callable[..., Said]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Harness:
    """The command line in this process: a process of its own would spend its time on imports."""

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def model(make_random_policy: Callable[..., Policy], tmp_path: Path) -> Path:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(harness: Harness, command: str) -> None:
    said = harness(command, "--help")
    assert said.code == 0
    assert f"Example: harness {command}" in said.out


def test_an_interrupt_says_how_to_resume(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.doctor.examine", interrupted)
    said = harness("doctor")
    assert (said.code, said.out) == (130, "")
    assert said.err == "Interrupted. Run the same command again to resume.\n"


def test_data_files_are_listed_as_json(harness: Harness) -> None:
    said = harness("data", "list", "--json")
    assert said.code == 0, said.err
    assert {"aime24", "gsm8k_test"} <= {file["name"] for file in json.loads(said.out)}


def test_a_tasks_name_stands_for_its_files(harness: Harness) -> None:
    said = harness("data", "list", "gsm8k", "gsm8k_test", "--json")
    assert said.code == 0, said.err
    assert [file["name"] for file in json.loads(said.out)] == ["gsm8k_test", "gsm8k_train"]


def test_a_runs_folder_stands_for_its_experiment(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "experiment.toml").write_bytes(experiment_file("tiny-quickstart").read_bytes())
    said = harness("plan", tmp_path, "--device", "h100", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["name"] == "tiny-quickstart"
    (tmp_path / "summary.json").write_text("{}", encoding="utf-8")
    by_file = harness("plan", tmp_path / "summary.json", "--device", "h100", "--json")
    assert (by_file.code, by_file.out) == (0, said.out)
    (tmp_path / "experiment.toml").unlink()
    assert "no experiment.toml in this folder" in harness("plan", tmp_path).err


def on_a_terminal(words: list[str], **variables: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM", "COLUMNS")}
    command = [sys.executable, "-m", "harness.cli", *words]
    environment = {**plain, "TERM": "xterm-256color", **variables}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side has hung up
            while chunk := os.read(ours, 4096):
                said += chunk
    os.close(ours)
    assert process.returncode == 0, said
    return said.decode()


COLOUR = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")


def test_colours_are_for_terminals_that_want_them(harness: Harness) -> None:
    words = ["compare", "--help"]
    assert COLOUR.search(on_a_terminal(words))
    assert not COLOUR.search(on_a_terminal(words, NO_COLOR="1"))
    assert "\x1b" not in harness(*words).out
    assert "\x1b" not in harness("data", "list").out


def test_the_module_is_a_program() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "harness.cli", "train", "none.toml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "error: none.toml: no such file\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "none.toml"], "error: none.toml: no such file"),
        (["train", "QUICKSTART", "-s", "grpo.group_size=7"], "must be a multiple of group_size (7)"),
        (["train", "QUICKSTART", "-s", "grpo.nonsense=7"], "unknown key grpo.nonsense; accepted: "),
        (["train", "QUICKSTART", "-s", "grpo.rewards.beauty=1"], "rewards.beauty: unknown reward"),
        (["train", "QUICKSTART", "-s", "data.train=tiny-aime:validation"], "has no split 'validation'"),
        (["train", "QUICKSTART", "-s", "policy.template=poem"], "unknown template 'poem'; accepted: r1-zero"),
        (["sweep", "QUICKSTART", "-s", "sweep.space={'grpo.magic'=[1]}"], "grpo.magic"),
        (["sweep", "QUICKSTART", "-s", "sweep.space={'grpo.group_size'=[7]}"], "grpo.group_size = 7"),
        (["sweep", "QUICKSTART", "-s", "sweep.objective=reward"], "sweep.objective: must be a dev metric"),
        (["sweep", "QUICKSTART", "--storage", "sqlite:////no/such/study.db"], "storage sqlite:////no/such"),
        (["eval", "nowhere/model", "--benchmarks", "tiny-aime"], "nowhere/model"),
        (["eval", "tiny", "--benchmarks", "tiny-aime,chess"], "unknown task 'chess'; accepted: aime24"),
        (["score", "none.jsonl", "--benchmark", "tiny-aime"], "none.jsonl"),
        (["compare", "nowhere", "else"], "nowhere"),
        (["eval"], "error: Missing argument 'model'; see "),
        (["evil"], "error: No such command 'evil'"),
        (["eval", "tiny", "--benchmarks", "x", "--samples", "0"], "'--samples'"),
        (["report", "nowhere"], "nowhere: no such folder"),
        (["report", ".", "--export", "pdf"], "unknown export format 'pdf'; accepted: md, csv, tex, png, svg"),
        (["view", "nowhere"], "nowhere: no such folder"),
        (["view", ".", "--bundle", "copy", "--port", "1"], "--bundle writes files and serves nothing"),
        (["track", "sync", "nowhere"], "nowhere: contains no W&B run that was recorded offline"),
        (["reproduce", "table3"], "unknown table 'table3'; accepted: table2, table4, table5, table6"),
        (["reproduce", "table5", "--from", "nowhere"], "nowhere: no such folder"),
        (
            ["reproduce", "table5", "--from", ".", "--max-tokens", "9"],
            "--max-tokens has no effect with --from: leave one out",
        ),
        (["reproduce", "table5", "--paper", "none.csv"], "none.csv: no such file"),
        (["reproduce", "table5", "--models", "GPT-9"], "table5 has no model 'GPT-9'; accepted: GPT-4o"),
        (["data", "check", "mnist"], "unknown task 'mnist'; accepted: aime24"),
        (["data", "list", "gsm9k"], "unknown data file or task 'gsm9k'; did you mean 'gsm8k'?"),
    ],
)
def test_bad_input_is_one_sentence(harness: Harness, words: list[str], sentence: str, tmp_path: Path) -> None:
    quickstart = str(experiment_file("tiny-quickstart"))
    has_out = words[0] not in ("compare", "data", "track", "evil", "view") and words != ["eval"]
    out = ["--out", tmp_path / "out"] if has_out else []
    said = harness(*[quickstart if word == "QUICKSTART" else word for word in words], *out)
    # A model on a hub that cannot be reached may well be there: that job failed, the input was not bad.
    assert said.code == (1 if "nowhere/model" in words else 2), said.err
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_runs_folder_is_a_model_and_two_runs_do_not_share_a_name(
    harness: Harness, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--benchmarks", "small-sums", "--samples", 1, "--max-tokens", 2, "--template", "tags", "--quiet")
    for run in ("a", "b"):
        shutil.copytree(model, tmp_path / "runs" / run / "checkpoints" / "step-2")
    whole = harness("eval", "runs/a", *words, "--dtype", "bfloat16")
    assert whole.code == 0, whole.err
    assert (tmp_path / "runs" / "eval-a" / "small-sums" / "scores.json").exists()
    for run in ("a", "b"):
        said = harness("eval", f"runs/{run}/checkpoints/step-2", *words)
        assert f"{run}-step-2" in said.out
        assert (tmp_path / "runs" / f"eval-{run}-step-2" / "small-sums" / "scores.json").exists()


@pytest.fixture(params=["here", "without Linux's calls"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """This system, and one that lacks what macOS (and Windows, of fcntl) lacks."""
    if request.param == "here":
        return
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    for holder, name in [
        *[(os, "sched_getaffinity"), (os, "memfd_create"), (os, "pidfd_open")],
        *[(signal, "pidfd_send_signal"), (psutil.Process, "cpu_affinity")],
    ]:
        monkeypatch.delattr(holder, name)


@pytest.mark.usefixtures("system")
def test_an_evaluation_goes_on_and_can_be_scored_and_compared(
    harness: Harness, model: Path, tmp_path: Path
) -> None:
    words = ("--benchmarks", "tiny-aime,tiny-math", "--samples", 2, "--max-tokens", 8, "--template", "tags")
    first = harness("eval", model, *words, "--out", tmp_path / "a", "--json", "--quiet")
    assert first.code == 0, first.err
    rows = json.loads(first.out)
    assert [row["benchmark"] for row in rows] == ["tiny-aime", "tiny-math"]
    assert rows[0]["samples_per_question"] == {"min": 2, "max": 2}
    samples = (tmp_path / "a" / "tiny-aime" / "samples.jsonl").read_text()
    again = harness("eval", model, *words, "--out", tmp_path / "a", "--json", "--quiet")
    assert json.loads(again.out) == rows
    assert (tmp_path / "a" / "tiny-aime" / "samples.jsonl").read_text() == samples

    scored = harness(
        "score", tmp_path / "a" / "tiny-aime" / "samples.jsonl", "--benchmark", "tiny-aime", "--json"
    )
    assert scored.code == 0, scored.err
    assert [row["pass@1"] for row in json.loads(scored.out)] == [rows[0]["pass@1"]]

    other = harness("eval", model, *words, "--seed", 1, "--out", tmp_path / "b", "--quiet")
    assert other.code == 0, other.err
    assert model.name in other.out  # for people the name, in scores.json the hash
    assert rows[0]["model"] not in other.out
    compared = harness("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert compared.code == 0, compared.err
    assert {row["benchmark"] for row in json.loads(compared.out)} == {"tiny-aime", "tiny-math"}
    page = tmp_path / "compared.html"
    told = harness("compare", tmp_path / "a", tmp_path / "b", "--out", page)
    assert told.code == 0, told.err
    assert "a = a, b = b" in told.out
    sentences = [MINUS.sub("−", row["sentence"]) for row in json.loads(compared.out)]
    assert all(html.escape(sentence) in page.read_text() for sentence in sentences)
    words = ("report", tmp_path / "a", "--out", tmp_path / "page.html", "--export", "csv,md", "--json")
    reported = harness(*words)
    assert reported.code == 0, reported.err
    written = json.loads(reported.out)
    assert {Path(path).suffix for path in written["files"]} == {".csv", ".md"}
    assert all(Path(path).parent == tmp_path / "page" for path in written["files"])


def test_training_leaves_a_run_and_is_not_redone(harness: Harness, model: Path, tmp_path: Path) -> None:
    words = (
        *("train", experiment_file("tiny-quickstart"), "--out", tmp_path / "run", "--quiet", "--json"),
        *("-s", f"policy.model={model}", "-s", "grpo.steps=2", "-s", "grpo.completions_per_step=8"),
        *("-s", "grpo.group_size=4", "-s", "grpo.max_tokens=8", "-s", "data.dev=tiny-aime:dev[:4]"),
        *("-s", "eval.benchmarks=['tiny-aime']", "-s", "eval.samples=1", "-s", "eval.max_tokens=8"),
    )
    first = harness(*words)
    assert first.code == 0, first.err
    assert json.loads(first.out)["state"] == "done"
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    steps = [json.loads(line) for line in metrics.splitlines()]
    assert [row["step"] for row in steps] == [0, 1, 2]
    assert "dev/pass@1" in steps[0]
    assert "dev/pass@1" in steps[2]
    assert (tmp_path / "run" / "checkpoints" / "step-2" / "config.json").exists()
    assert (tmp_path / "run" / "evals" / "final" / "tiny-aime" / "scores.json").exists()
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    second = harness(*words)
    assert second.code == 0, second.err
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == metrics


def test_a_table_is_reproduced_as_json_and_as_words(harness: Harness, tmp_path: Path) -> None:
    words = ("reproduce", "table6", "--from", tmp_path, "--out", tmp_path / "out")
    said = harness(*words, "--json")
    assert said.code == 1, said.err  # no cell was measured
    cells = json.loads(said.out)
    assert len(cells) == 15
    assert {cell["verdict"] for cell in cells} == {"not run"}
    assert "contains no evaluation" in said.err
    told = harness(*words, "--quiet")
    assert "QwQ-32B-Preview" in told.out
    assert str(tmp_path / "out" / "table6.tex") in told.out


def test_real_recorded_responses(harness: Harness, data_folder: Path, tmp_path: Path) -> None:
    """The four recorded GSM8K models: our verdicts against their labels."""
    recorded = data_folder / "recorded" / "gsm8k_model_solutions.jsonl"
    rows = [json.loads(line) for line in recorded.read_text().splitlines()]
    models = [name for name in rows[0] if name not in ("question", "ground_truth")]
    responses = tmp_path / "responses.jsonl"
    with responses.open("w") as handle:
        for i, row in enumerate(rows):
            for name in models:
                handle.write(json.dumps({"id": i, "response": row[name]["solution"], "model": name}) + "\n")
    said = harness("score", responses, "--benchmark", "gsm8k", "--json", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    results = {result["model"]: result for result in json.loads(said.out)}
    assert set(results) == set(models)
    for name in models:
        labels = [bool(row[name]["is_correct"]) for row in rows]
        ours = {int(q["id"]): q["correct"] == 1 for q in results[name]["per_question"]}
        agreement = sum(ours[i] == label for i, label in enumerate(labels)) / len(labels)
        assert agreement >= 0.995, (name, agreement)


def test_recorded_math_gives_its_labels_pass_at_1(
    harness: Harness, data_folder: Path, tmp_path: Path
) -> None:
    recorded = data_folder / "recorded" / "math_cot_100x8.jsonl"
    responses = tmp_path / "responses.jsonl"
    with responses.open("w") as handle:
        for line in recorded.read_text().splitlines():
            row = json.loads(line)
            for i, code in enumerate(row["code"]):
                given = {"id": row["idx"], "sample": i, "response": code, "gold": row["gt"]}
                handle.write(json.dumps(given) + "\n")
    said = harness("score", responses, "--benchmark", "math", "--json")
    assert said.code == 0, said.err
    [result] = json.loads(said.out)
    assert (result["questions"], result["samples_per_question"]) == (100, {"min": 8, "max": 8})
    assert result["pass@1"]["value"] == pytest.approx(0.91, abs=0.005)


def test_what_could_not_be_graded_is_counted_and_shown(harness: Harness, tmp_path: Path) -> None:
    rows = [{"id": "a", "sample": i, "response": "\\boxed{C}", "gold": gold} for i, gold in enumerate("CC")]
    rows += [{"id": "b", "response": "\\boxed{C}", "gold": "the third"}]
    responses = tmp_path / "responses.jsonl"
    responses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = harness("score", responses, "--benchmark", "choice")
    assert said.code == 0, said.err
    assert "1 of 3 responses could not be graded" in said.out
    assert "pass@1 lies between 50.0 and 100.0" in " ".join(said.out.split())


def test_a_first_experiment_is_written_once(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert harness("init", "mine.toml").out == "Wrote mine.toml. Next: harness train mine.toml\n"
    assert read_experiment([tmp_path / "mine.toml"]).name == "mine"
    assert harness("init", "mine.toml") == Said(
        2, "", "error: mine.toml: already exists; choose another name\n"
    )
    said = harness("init", "not a name.toml")
    assert (said.code, said.out) == (2, "")
    assert "line 10: name: String should match pattern" in said.err
    assert not (tmp_path / "not a name.toml").exists()


def test_the_schema_is_json_and_the_version_a_word(harness: Harness) -> None:
    assert json.loads(harness("schema").out)["title"] == "Experiment"
    assert harness("schema", "--markdown").out.startswith("# Settings of an experiment file\n")
    assert re.fullmatch(r"grpo-harness \d+\.\d+\.\d+\n", harness("--version").out)

"""A table judged by recorded samples alone, and the estimate of what measuring takes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.tasks import registry
from harness import config
from harness.cli import app
from harness.jobs.reproduce import Reproduction, Settings, from_recordings, run_plan
from reports.papers import feasibility
from tests.harness.engines.chat_server import Answer, chat_server, completion

QUIET = Progress(quiet=True)
HEADING = "table,model,benchmark,metric,value,source,hub,billions,task,samples,questions\n"


def _paper(path: Path, *rows: str) -> Path:
    path.write_text(HEADING + "".join(f"{row}\n" for row in rows))
    return path


def _verdicts(done: Reproduction) -> dict[str, str]:
    return {cell.published.model: cell.verdict for cell in done.cells}


def test_real_recorded_models_agree_with_what_their_labels_say(data_folder: Path, tmp_path: Path) -> None:
    """Four recorded GSM8K models: the share of solutions labelled correct stands in for a paper's value."""
    recorded = data_folder / "recorded" / "gsm8k_model_solutions.jsonl"
    rows = [json.loads(line) for line in recorded.read_text().splitlines()]
    models = [name for name in rows[0] if name not in ("question", "ground_truth")]
    values = {m: 100 * sum(bool(row[m]["is_correct"]) for row in rows) / len(rows) for m in models}
    values[models[0]] += 10  # a published value that nothing explains
    paper = _paper(
        tmp_path / "labels.csv",
        *(f"t1,{m},GSM8K,pass@1,{v:.1f},labels,org/{m},1,gsm8k,1,1319" for m, v in values.items()),
    )
    (tmp_path / "recorded").mkdir()
    with (tmp_path / "recorded" / "gsm8k.jsonl").open("w") as handle:
        for i, row in enumerate(rows):
            for m in models:
                handle.write(json.dumps({"id": i, "response": row[m]["solution"], "model": m}) + "\n")
    done = from_recordings("t1", [tmp_path / "recorded"], tmp_path / "out", QUIET, [paper])
    assert done.problems == []
    assert _verdicts(done) == {m: "differs" if m == models[0] else "agrees" for m in models}
    assert {path.suffix for path in done.files} == {".md", ".csv", ".tex", ".html"}
    with (tmp_path / "out" / "t1.csv").open() as handle:
        written = {row["model"]: float(row["ours"]) for row in csv.DictReader(handle)}
    for cell in done.cells:
        assert written[cell.published.model] == cell.ours.value
        assert cell.ours.value == pytest.approx(
            values[cell.published.model] / 100 - 0.1 * (cell.published.model == models[0]), abs=0.005
        )


def test_a_server_answers_for_the_models_that_it_serves(tmp_path: Path) -> None:
    """However large they are: nothing is loaded here."""
    rows = [f"t1,{name},Sums,pass@1,50,x,org/{name},600,tiny-aime,2,0" for name in ("big", "other")]
    paper = _paper(tmp_path / "paper.csv", *rows)
    with chat_server() as state:
        state.models = {"data": [{"id": "org/big"}]}
        state.answer = lambda _body, _turn: Answer(completion("It is \\boxed{1}."))
        server = config.Server(addresses=[state.address], timeout=20)
        done = run_plan("t1", tmp_path / "out", QUIET, Settings(server=server), [paper])
        ours = {cell.published.model: cell for cell in done.cells}
        assert ours["big"].ours.value is not None
        assert len(state.asked) == 2 * len(registry.load_spec("tiny-aime")[1])
        assert {body["model"] for body in state.asked} == {"org/big"}
        assert ours["other"].verdict == "not run"
        assert ours["other"].why == f"org/other is not served at {state.address}"

        named = server.model_copy(update={"model": "mine"})
        with pytest.raises(UsageError, match=r"--served-model names one model .* with --models"):
            run_plan("t1", tmp_path / "out", QUIET, Settings(server=named), [paper])
        run_plan("t1", tmp_path / "out", QUIET, Settings(server=named, models=("other",)), [paper])
        assert {body["model"] for body in state.asked} == {"org/big", "mine"}
    found = sorted(path.parts[-3] for path in (tmp_path / "out" / "evals").rglob("scores.json"))
    assert found == ["big", "other"]


def test_a_model_without_weights_is_asked_where_it_is_served_and_its_price_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = _paper(tmp_path / "paper.csv", "t1,GPT-4o-0513,Sums,pass@1,50,x,,,tiny-aime,2,0")
    asked = [
        "reproduce",
        "t1",
        "--paper",
        str(paper),
        "--models",
        "GPT-4o-0513",
        "--out",
        str(tmp_path / "out"),
    ]
    with chat_server() as state:
        served = ["--server", state.address, "--served-model", "gpt-4o", "--price", "1000,2000"]
        app(asked + served, standalone_mode=False)
    questions = len(registry.load_spec("tiny-aime")[1])
    assert {body["model"] for body in state.asked} == {"gpt-4o"}
    assert len(state.asked) == 2 * questions
    # The server counts 10 tokens of each prompt and 5 of each response.
    took = 2 * questions * (10 * 1000 + 5 * 2000) / 1e6
    told = " ".join(capsys.readouterr().out.split())
    assert f"GPT-4o-0513, tiny-aime: cost {took:,.4f}" in told
    page = (tmp_path / "out" / "t1.html").read_text()
    assert 'id="cost"' in page
    assert f"{took:.4f}" in page


def test_a_system_message_and_variables_go_to_the_server_and_no_verdict_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = _paper(tmp_path / "paper.csv", "t1,big,Sums,pass@1,50,x,org/big,600,tiny-aime,2,0")
    asked = ["reproduce", "t1", "--paper", str(paper), "--out", str(tmp_path / "out"), "--json"]
    with chat_server() as state:
        state.models = {"data": [{"id": "org/big"}]}
        chat = ["--system-prompt", "Be brief.", "--chat-template-kwargs", '{"enable_thinking": false}']
        app([*asked, "--server", state.address, *chat], standalone_mode=False)
    for body in state.asked:
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
    [cell] = json.loads(capsys.readouterr().out)
    assert cell["verdict"] == "not judged"
    assert "'system': 'Be brief.'" in cell["why"]


def test_samples_in_a_folder_named_after_the_model_are_graded(data_folder: Path, tmp_path: Path) -> None:
    questions = [json.loads(line) for line in (data_folder / "aime24.jsonl").read_text().splitlines()]
    model = tmp_path / "recorded" / "DeepSeek-R1-Distill-Qwen-1.5B" / "aime24"
    model.mkdir(parents=True)
    listed = registry.load_spec("aime24")[1]
    assert len(listed) == len(questions) == 30
    with (model / "samples.jsonl").open("w") as handle:
        for number, question in enumerate(listed):
            for sample in range(4):
                right = number < 9 and sample != 3  # 9 × 3 of 120: 22.5%
                answer = question.gold if right else "1000"
                row = {"id": question.id, "sample": sample, "response": f"so \\boxed{{{answer}}}"}
                handle.write(json.dumps(row) + "\n")
    done = from_recordings("table5", [tmp_path / "recorded"], tmp_path / "out", QUIET)
    cell = next(c for c in done.cells if c.ours.value is not None)
    assert cell.ours.value == 0.225
    assert (cell.questions, cell.samples, cell.verdict) == (30, 4, "agrees")
    assert "the plan takes 64 samples" in cell.why
    # What was measured comes first on the page.
    shown = (tmp_path / "out" / "table5.html").read_text().partition("<tbody>")[2]
    assert shown.index(">DeepSeek-R1-Distill-Qwen-1.5B<") < shown.index(">GPT-4o-0513<")


def test_folders_that_hold_nothing_are_said_so_and_the_table_is_made_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = from_recordings("table6", [tmp_path / "empty"], tmp_path / "out", QUIET)
    assert len(done.problems) == 1
    assert "contains no evaluation, and no file named aime24.jsonl" in done.problems[0]
    assert {cell.verdict for cell in done.cells} == {"not run"}
    assert "contains no evaluation" in (tmp_path / "out" / "table6.html").read_text()
    with pytest.raises(UsageError, match="no such folder"):
        from_recordings("table6", [tmp_path / "none"], tmp_path / "out", QUIET)


def test_the_estimate_is_plain_arithmetic() -> None:
    wanted = feasibility.needs(billions=2.0, questions=30, samples=64, max_tokens=32768)
    assert wanted.tokens == 62_914_560
    assert wanted.flops == 2 * 2e9 * 62_914_560
    assert wanted.gib == pytest.approx(4e9 / 2**30)
    machine = feasibility.Machine(gib=80.0, flops=1e15, device="accelerator")
    assert feasibility.refusal(wanted, machine) == ""
    assert "this machine has 3 GiB" in feasibility.refusal(wanted, feasibility.Machine(3.0, 1e15, "x"))
    assert feasibility.this_machine().flops > 1e8

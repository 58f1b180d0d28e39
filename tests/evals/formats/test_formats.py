"""Files of other programs, in the shapes that these write: recognised, and read as rows of our own."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals import formats
from evals.comparison.compare import compare
from evals.comparison.evaluations import read_evaluations
from evals.recorded import score_file
from evals.task import TaskError
from reports.collect import collect

BOX = "So it is \\boxed{%s}."
RIGHT, WRONG = BOX % 4, BOX % 5


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def document(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def parquet(*rows: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), target)
    return target.getvalue()


def lm_eval(number: int, text: str, verdict: float, kept: str) -> dict[str, Any]:
    asked = {"gen_args_0": {"arg_0": "2 + 2?", "arg_1": {"until": ["Q:"]}}}
    row = {"doc_id": number, "doc": {"q": "2 + 2?"}, "target": "4", "arguments": asked, "resps": [[text]]}
    return {
        **row,
        "filtered_resps": [text],
        "filter": kept,
        "metrics": ["exact_match"],
        "exact_match": verdict,
    }


def lighteval(number: int, texts: list[str], verdict: float) -> dict[str, Any]:
    doc = {"query": f"Solve: {number} + 2?", "choices": ["4"], "gold_index": [0], "id": str(number)}
    response = {"text": texts, "output_tokens": [[1, 2, 3]] * len(texts), "input": "…"}
    return {"doc": doc, "metric": {"pass@k": verdict}, "model_response": response}


def inspect_sample(name: str, epoch: int, content: Any, verdict: str, stop: str = "stop") -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content}, "stop_reason": stop}
    usage = {"input_tokens": 9, "output_tokens": 7, "total_tokens": 16}
    return {
        "id": name,
        "epoch": epoch,
        "input": "2 + 2?",
        "target": "4",
        "output": {"model": "m", "choices": [choice], "usage": usage},
        "scores": {"match": {"value": verdict, "answer": "4"}},
    }


SAMPLES = [inspect_sample("a", 1, RIGHT, "C"), inspect_sample("a", 2, WRONG, "I", "max_tokens")]
HEADER = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "org/m"}}


def inspect_zip(packed: bool) -> bytes:
    target = io.BytesIO()
    members = {
        "header.json": HEADER,
        "samples/a_epoch_1.json": SAMPLES[0],
        "samples/a_epoch_2.json": SAMPLES[1],
    }
    with zipfile.ZipFile(target, "w") as archive:
        for name, value in members.items():
            data = json.dumps(value).encode()
            archive.writestr(name, pa.compress(data, codec="zstd", asbytes=True) if packed else data)
    whole = target.getvalue()
    if packed:  # what is stored is said to be packed by method 93, as inspect does
        whole = whole.replace(b"PK\x03\x04\x14\0\0\0\0\0", b"PK\x03\x04\x14\0\0\0\x5d\0")
        whole = whole.replace(b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x5d\0")
    return whole


def batch(name: str, text: str, finish: str = "stop", reasoning: str = "", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text} | ({"reasoning_content": reasoning} if reasoning else {})
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = {"model": "gpt", "choices": [choice], "usage": {"completion_tokens": 11}}
    answer = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": name, "response": answer, "error": None, **more}


def answered(text: str) -> dict[str, Any]:
    """The body of a response of the responses endpoint."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    usage = {"input_tokens": 9, "output_tokens": 11}
    return {"model": "gpt", "output": [{"type": "reasoning", "summary": []}, said], "usage": usage}


CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}

SKY = {
    "problem": "2 + 2?",
    "answer": "4",
    "responses": [
        {"content": RIGHT, "correctness": True, "reason": ""},
        {"content": WRONG, "correctness": False, "reason": "Solution is incorrect."},
    ],
    "token_usages": [{"completion_tokens": 8, "prompt_tokens": 5}] * 2,
}
SKY_BEFORE = {**SKY, "responses": {"0.7": SKY["responses"]}, "token_usages": {"0.7": SKY["token_usages"]}}
NEMO = {"problem": "2 + 2?", "expected_answer": "4", "generation": RIGHT, "predicted_answer": "4"}
LCB = {
    "question_id": "abc300_a",
    "output_list": ["```python\nprint(4)\n```"],
    "code_list": ["print(4)", "print(5)"],
    "graded_list": [True, False],
    "pass@1": 0.5,
}
PLUS = {"task_id": "HumanEval/0", "solution": "def f(): pass", "base_status": "pass", "plus_status": "fail"}

CHOSEN = {"metrics": "{'acc': 1}"}
NEMO_CODE = {"task_id": "HumanEval/0", "question": "f?", "generation": "```python\nx\n```", "completion": "x"}

CASES: dict[str, tuple[str, bytes, list[dict[str, Any]]]] = {
    "lm-eval": (
        "samples_sums_2026.jsonl",
        lines(
            lm_eval(0, RIGHT, 1.0, "strict"),
            lm_eval(0, RIGHT, 0.0, "loose"),
            lm_eval(1, WRONG, 0.0, "strict"),
        ),
        [
            {"id": "0", "gold": "4", "sample": 0, "response": RIGHT, "correct": True},
            {"id": "1", "gold": "4", "sample": 0, "response": WRONG, "correct": False},
        ],
    ),
    "lighteval": (
        "details_sums_2026.parquet",
        parquet(lighteval(0, [RIGHT], 1.0), lighteval(1, [RIGHT, WRONG], 0.5)),
        [
            {"id": "0", "sample": 0, "response": RIGHT, "gold": "4", "tokens": 3, "correct": True},
            {"id": "1", "sample": 0, "response": RIGHT, "gold": "4", "tokens": 3, "correct": None},
            {"id": "1", "sample": 1, "response": WRONG, "gold": "4", "tokens": 3, "correct": None},
        ],
    ),
    "lighteval as text": (
        "details_sums_2026.parquet",
        parquet({key: str(value) for key, value in lighteval(0, [RIGHT], 1.0).items()}),
        [{"id": "0", "sample": 0, "response": RIGHT, "gold": "4", "tokens": 3, "correct": True}],
    ),
    "lighteval before": (
        "details_sums_2024.parquet",
        parquet({"example": "2 + 2?", "predictions": [RIGHT], "gold": ["4"], "metrics": {"qem": 1}}),
        [{"id": "0", "sample": 0, "response": RIGHT, "gold": "4", "correct": True}],
    ),
    "lighteval before, as text": (
        "details_sums_2025.parquet",
        parquet(
            {"example": "2 + 2?", "predictions": str([RIGHT]), "gold": "['4']"}
            | {"metrics": "{'extractive_match': np.float64(1.0)}"},
            {"example": "3 + 2?", "predictions": "['np.float64(5)']", "gold": "['5']"}
            | {"metrics": "{'extractive_match': nan}"},
        ),
        [
            {"id": "0", "sample": 0, "response": RIGHT, "gold": "4", "correct": True},
            {"id": "1", "sample": 0, "response": "np.float64(5)", "gold": "5", "correct": None},
        ],
    ),
    "lighteval before, by likelihood": (
        "details_choice_2024.parquet",
        parquet(
            {"example": "?", "predictions": "[(-1.5, True), (-2.5, False)]"} | {"gold": "['A']"} | CHOSEN
        ),
        [{"id": "0", "sample": 0, "response": None, "gold": "A", "correct": True}],
    ),
    **{
        name: (
            file,
            content,
            [
                {"id": "a", "sample": 0, "response": RIGHT, "finish_reason": "stop", "correct": True},
                {"id": "a", "sample": 1, "response": WRONG, "finish_reason": "length", "correct": False},
            ],
        )
        for name, file, content in (
            ("inspect json", "log.json", document({**HEADER, "samples": SAMPLES})),
            ("inspect", "log.eval", inspect_zip(packed=False)),
            ("inspect by zstd", "log.eval", inspect_zip(packed=True)),
        )
    },
    "inspect with reasoning": (
        "log.json",
        document(
            {
                **HEADER,
                "samples": [
                    inspect_sample(
                        "a",
                        1,
                        [{"type": "reasoning", "reasoning": "2…"}, {"type": "text", "text": RIGHT}],
                        "C",
                    )
                ],
            }
        ),
        [{"id": "a", "response": f"<think>2…</think>{RIGHT}", "gold": "4", "tokens": 7, "model": "org/m"}],
    ),
    "LiveCodeBench": (
        "Scenario.codegeneration_2_0.2_eval_all.json",
        document([LCB]),
        [
            {"id": "abc300_a", "sample": 0, "response": "```python\nprint(4)\n```", "correct": True},
            {"id": "abc300_a", "sample": 1, "response": "```python\nprint(5)\n```", "correct": False},
        ],
    ),
    "EvalPlus": (
        "m_eval_results.json",
        document(
            {"date": "…", "hash": "…", "eval": {"HumanEval/0": [PLUS, {**PLUS, "plus_status": "pass"}]}}
        ),
        [
            {"id": "HumanEval/0", "sample": 0, "response": "```python\ndef f(): pass\n```", "correct": False},
            {"id": "HumanEval/0", "sample": 1, "correct": True},
        ],
    ),
    "EvalPlus samples": (
        "samples.jsonl",
        lines(
            {"task_id": "Mbpp/2", "completion": "    pass"}, {"task_id": "Mbpp/2", "completion": "    return"}
        ),
        [
            {"id": "2", "sample": 0, "response": "    pass", "correct": None},
            {"id": "2", "sample": 1, "response": "    return", "correct": None},
        ],
    ),
    "AlpacaEval": (
        "model_outputs.json",
        document([{"dataset": "helpful_base", "instruction": "Sing.", "output": "La.", "generator": "m"}]),
        [{"id": None, "question": "Sing.", "response": "La.", "model": "m", "correct": None}],
    ),
    "AlpacaEval's annotations": (
        "annotations.json",
        document(
            [
                {"instruction": "Sing.", "output_1": "No.", "generator_1": "base"}
                | {"output_2": "La.", "generator_2": "m", "annotator": "a", "preference": 1.9}
            ]
        ),
        [{"id": None, "question": "Sing.", "response": "La.", "model": "m", "correct": True}],
    ),
    "arena-hard": (
        "m.jsonl",
        lines(
            {"question_id": "q", "answer_id": "x", "model_id": "m"}
            | {"choices": [{"index": 0, "turns": [{"content": "La."}]}]}
        ),
        [{"id": "q", "sample": 0, "response": "La.", "model": "m"}],
    ),
    "arena-hard 2": (
        "m.jsonl",
        lines(
            {"uid": "q", "ans_id": "x", "model": "m"}
            | {
                "messages": [
                    {"role": "user", "content": "Sing."},
                    {"role": "assistant", "content": {"answer": "La."}},
                ]
            }
        ),
        [{"id": "q", "sample": 0, "response": "La.", "model": "m"}],
    ),
    **{
        name: (
            "results.json",
            document({"0": entry}),
            [
                {"id": "0", "sample": 0, "response": RIGHT, "gold": "4", "tokens": 8, "correct": True},
                {"id": "0", "sample": 1, "response": WRONG, "gold": "4", "tokens": 8, "correct": False},
            ],
        )
        for name, entry in (("SkyThought", SKY), ("SkyThought before", SKY_BEFORE))
    },
    "NeMo-Skills": (
        "output-rs3.jsonl",
        lines({**NEMO, "symbolic_correct": True, "num_generated_tokens": 6}),
        [{"id": None, "question": "2 + 2?", "sample": 3, "response": RIGHT, "gold": "4", "correct": True}],
    ),
    "NeMo-Skills, programs": (
        "output.jsonl",
        lines(
            {**NEMO_CODE, "is_correct": True, "is_correct-plus": False},
            {**NEMO_CODE, "task_id": "b", "graded_list": [True]},
            {**NEMO_CODE, "task_id": "c", "status": "fail"},
        ),
        [
            {"id": "HumanEval/0", "response": NEMO_CODE["generation"], "correct": False},
            {"id": "b", "correct": True},
            {"id": "c", "correct": False},
        ],
    ),
    "NeMo-Skills, judged": (
        "output-rs0.jsonl",
        lines(
            {**NEMO, "judgement": "Reasoning: the same.\nJudgement: Yes"},
            {**NEMO, "problem": "?", "judgement": "**Judgement**: No"},
        ),
        [{"sample": 0, "correct": True}, {"sample": 0, "correct": False}],
    ),
    "OpenAI batch, responses": (
        "batch_output.jsonl",
        lines(
            batch("a", "", response={"status_code": 200, "body": answered(RIGHT)}),
            batch("b", "", response={"status_code": 200, "body": {**answered(WRONG), **CUT}}),
        ),
        [
            {"id": "a", "response": RIGHT, "finish_reason": "stop", "tokens": 11, "model": "gpt"},
            {"id": "b", "response": WRONG, "finish_reason": "length", "tokens": 11, "model": "gpt"},
        ],
    ),
    "OpenAI batch of a reasoning model": (
        "batch_output.jsonl",
        lines(batch("a", RIGHT, reasoning="2…")),
        [{"id": "a", "response": f"<think>2…</think>{RIGHT}"}],
    ),
    "OpenAI batch": (
        "batch_output.jsonl",
        lines(batch("a", RIGHT), batch("b", WRONG, "length")),
        [
            {"id": "a", "response": RIGHT, "finish_reason": "stop", "tokens": 11, "model": "gpt"},
            {"id": "b", "response": WRONG, "finish_reason": "length", "tokens": 11, "model": "gpt"},
        ],
    ),
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        file, content, _ = CASES[name]
        (tmp_path / file).write_bytes(content)
        return tmp_path / file

    return write


@pytest.mark.parametrize("name", CASES)
def test_every_format_is_recognised_and_read(written: Callable[[str], Path], name: str) -> None:
    found = formats.recognise(written(name))
    assert found is not None
    assert found[0].name.lower().split()[0] in name.lower() + " inspect_ai arena-hard-auto openai"
    rows = list(formats.rows(found))
    expected = CASES[name][2]
    assert [{key: row.get(key) for key in want} for row, want in zip(rows, expected, strict=True)] == expected


@pytest.mark.parametrize("name", ["lm-eval", "lighteval", "inspect", "SkyThought", "NeMo-Skills"])
def test_files_with_golds_are_scored(written: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    [scores] = score_file(written(name), "math", out=tmp_path / "out")
    wanted = [row["response"] == RIGHT for row in CASES[name][2]]
    assert sum(question.correct for question in scores.questions) == sum(wanted)
    assert sum(question.n for question in scores.questions) == len(wanted)


def test_a_question_is_known_by_its_text_whatever_the_program_calls_it(tmp_path: Path) -> None:
    from evals.tasks.registry import load_spec

    questions = load_spec("tiny-aime:test")[1][:3]
    rows = [
        {"id": str(number), "problem": f" Solve this.\n{question.text} ", "generation": BOX % question.gold}
        for number, question in enumerate(reversed(questions))
    ]
    (tmp_path / "output.jsonl").write_bytes(lines(*rows))
    [scores] = score_file(tmp_path / "output.jsonl", "tiny-aime:test[:3]")
    assert [(question.id, question.correct) for question in scores.questions] == [
        (q.id, 1) for q in questions
    ]


@pytest.mark.parametrize("name", ["lm-eval", "inspect by zstd", "LiveCodeBench", "EvalPlus", "SkyThought"])
def test_verdicts_are_compared(written: Callable[[str], Path], name: str) -> None:
    path = written(name)
    [scores] = read_evaluations(path).values()
    known = [row["correct"] for row in CASES[name][2]]
    assert sum(question.correct for question in scores.questions) == sum(known)
    assert compare([path, path])[0].difference.value == 0


def test_what_cannot_be_done_with_a_file_is_said(written: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="OpenAI batch output, without verdicts; grade it first"):
        read_evaluations(written("OpenAI batch"))
    study = collect([written("lm-eval")])
    assert "is lm-eval (samples_*.jsonl); `harness score" in study.problems[0]
    choice = {**lm_eval(0, "", 1.0, "none"), "resps": [[["-1.5", "False"]], [["-2.5", "False"]]]}
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(choice))
    with pytest.raises(TaskError, match="row 1 has no text"):
        score_file(path, "math")
    path.write_bytes(lines(batch("a", "", error={"message": "busy"})))
    with pytest.raises(TaskError, match="the request 'a' failed"):
        score_file(path, "math")
    path.write_bytes(lines({"question_id": "q", "model": "m", "judge": "j", "games": []}))
    with pytest.raises(TaskError, match="arena-hard-auto's judgments"):
        score_file(path, "math")
    path.write_bytes(lines({**NEMO, "generation": None}))
    with pytest.raises(TaskError, match="row 1"):
        score_file(path, "math")
    broken = tmp_path / "results.json"
    broken.write_bytes(document({"0": SKY, "1": {**SKY, "responses": [{"text": "?"}]}}))
    with pytest.raises(TaskError, match=r"after row 2 it is not as SkyThought .*'content'"):
        score_file(broken, "math")


def test_a_format_that_is_not_known_is_told_what_to_rename(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines({"key": "a", "text": RIGHT}))
    with pytest.raises(TaskError, match=r"lacks the key 'id'; it has key, text: write .* 'id' .*lighteval"):
        score_file(path, "math")
    assert "is a file of no format that is read; write JSON lines with" in collect([path]).problems[0]
    path = tmp_path / "rows.json"
    path.write_bytes(document([{"key": "a"}]))
    with pytest.raises(TaskError, match="is of no format that is read"):
        score_file(path, "math")
    path = tmp_path / "rows.parquet"
    path.write_bytes(parquet({"key": "a"}))
    with pytest.raises(TaskError, match="is of no format that is read"):
        score_file(path, "math")


def test_rows_of_our_own_are_no_peers(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines({"id": "a", "response": RIGHT, "gold": "4", "task_id": "x", "solution": "y"}))
    assert formats.recognise(path) is None

"""The page as a file: self-contained, model output as text, and honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tomli_w

from evals.asked import known_questions
from evals.base.errors import UsageError
from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from reports import page
from reports.collect import collect
from reports.samples import browser


class Reader(HTMLParser):
    """Collects elements, and the text of scripts, styles and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)


@pytest.fixture(scope="module")
def read(page: Path) -> Reader:
    return Reader(page.read_text(encoding="utf-8"))


def _sentences(found: Reader) -> str:
    return " ".join(text for tag in ("li", "p", "h1") for text in found.texts.get(tag, []))


def test_nothing_is_loaded_from_anywhere(read: Reader) -> None:
    for tag, attributes in read.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img", "video", "audio", "source")
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/png;base64,")), value


def test_the_policy_allows_its_own_style_and_script_alone(read: Reader) -> None:
    policy = next(a["content"] for t, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = read.texts[tag]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert [tag for tag, _ in read.tags].count("script") == 1


def test_no_inline_handler_and_no_style_attribute(read: Reader) -> None:
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "style" not in attributes


def test_hostile_responses_are_shown_as_text(page: Path, read: Reader) -> None:
    shown = "".join(read.texts["pre"])
    assert "<script>window.hacked = 1; alert('x')</script>" in shown
    assert "</script></style></details></template><img src=x onerror=" in shown
    assert "{{ 7 * 7 }} {% raw %}" in shown
    assert "null ⟦U+0000⟧ byte, bell ⟦U+0007⟧" in shown
    assert "⟦U+202E⟧gnp.exe⟦U+202C⟧" in shown
    assert "⟦U+D83D⟧" in shown
    raw = page.read_bytes()
    assert b"\x00" not in raw
    assert "\u202e" not in raw.decode("utf-8")


def test_ids_are_unique_and_the_contents_lead_somewhere(read: Reader) -> None:
    ids = [attributes["id"] for _, attributes in read.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = [(a.get("href") or a.get("xlink:href") or "") for tag, a in read.tags if tag == "a"]
    assert all(link.startswith("#") for link in links)
    assert {link[1:] for link in links} <= set(ids)
    assert {
        "summary",
        "results",
        "comparisons",
        "training",
        "sweep",
        "questions",
        "samples",
        "reproduce",
    } <= set(ids)


def test_the_summary_says_what_is_significant_and_what_is_not(read: Reader) -> None:
    told = _sentences(read)
    assert "The winner is better than the base on tiny-aime and tiny-math." in told
    assert re.search(r"tiny-code: winner answers .* questions\), not significantly different\.", told)
    assert "The sweep tried 10 settings: 6 ran to the end, 3 were pruned and 1 failed." in told
    assert re.search(r"Confirmed: .* points over the base policy on the dev questions \(95% interval", told)
    assert "programs ran under landlock+seccomp" in told


@pytest.mark.parametrize(
    "called", ["harness", "/somewhere/bin/harness", "/somewhere/harness/cli/__main__.py"]
)
def test_the_command_names_the_program_as_anybody_calls_it(fresh_sweep: Path, called: str) -> None:
    manifest = json.loads((fresh_sweep / "manifest.json").read_text())
    manifest["command"] = [called, "sweep", "own experiment.toml"]
    (fresh_sweep / "manifest.json").write_text(json.dumps(manifest))
    assert ">harness sweep &#39;own experiment.toml&#39;<" in page.render(collect([fresh_sweep]))


def test_reproduction_is_complete(read: Reader) -> None:
    code = "".join(read.texts["code"])
    assert "harness sweep experiments/tiny-quickstart.toml --out runs/quick-sweep" in code
    assert "[sweep.space]" in code
    facts = "".join(read.texts["dd"])
    assert "0123456789abcdef" in facts
    assert "torch 2.13.0" in facts


def test_the_page_is_small(page: Path) -> None:
    assert page.stat().st_size < 1_500_000


def test_what_is_repeated_is_explained_once_and_every_warning_says_what_to_do(read: Reader) -> None:
    told = _sentences(read)
    assert "What to do: Raise eval.max_tokens and measure again, all models alike." in " ".join(
        read.texts["span"]
    )
    assert "a score here says nothing about AIME" in " ".join(read.texts["dd"])
    assert "Good to know" in " ".join(read.texts["h3"])
    assert "grave one can change a conclusion" in told
    assert "git checkout 0123456789abcdef0123456789abcdef01234567" in "".join(read.texts["code"])


def test_completions_of_training_are_shown_with_their_rewards(read: Reader) -> None:
    assert {"highest reward", "lowest reward"} <= set(read.texts["h5"])
    assert "newest" not in read.texts["h5"]  # they are those with the lowest
    shown = " ".join(read.texts["span"])
    assert "accuracy 0.9833" in shown
    assert "format no score" in shown
    assert "advantage −0.5" in shown


def test_a_damaged_sweep_still_gives_a_page(fresh_sweep: Path) -> None:
    (fresh_sweep / "summary.json").write_text('{"name": "quick')
    shutil.rmtree(fresh_sweep / "confirm")
    (fresh_sweep / "evals/base/tiny-aime/samples.jsonl").write_bytes(b"\xff\x00\n{}\n")
    (fresh_sweep / "evals/winner-seed-1/tiny-aime/samples.jsonl").unlink()
    found = Reader(page.build_report([fresh_sweep]).read_text(encoding="utf-8"))
    told = _sentences(found)
    assert "no readable JSON object" in told
    assert "2 lines are no samples" in told
    assert "the samples were not kept" in told
    assert "tiny-aime: winner answers" in told


def test_a_young_run_gives_a_page(tmp_path: Path) -> None:
    run = tmp_path / "young"
    run.mkdir()
    (run / "status.json").write_text(json.dumps({"state": "running", "reason": "", "time": 0.0}))
    (run / "metrics.jsonl").write_text('{"step": 1, "stage": "grpo", "reward": 0.5}\n{"step": 2, "sta')
    told = _sentences(Reader(page.build_report([run]).read_text(encoding="utf-8")))
    assert "young logged 1 training steps and is running." in told
    assert "this run has not finished" in told


def test_an_evaluation_folder_alone_gives_a_page(sweep_folder: Path, tmp_path: Path) -> None:
    text = page.build_report([sweep_folder / "evals/base"], tmp_path / "r.html").read_text(encoding="utf-8")
    found = Reader(text)
    assert "samples" in {a.get("id") for _, a in found.tags}
    assert "comparisons" not in {a.get("id") for _, a in found.tags}


def test_nothing_to_report_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains neither a sweep, a run nor an evaluation"):
        page.build_report([tmp_path])
    with pytest.raises(UsageError, match="at least one"):
        page.build_report([])


def test_the_samples_keep_to_their_budget(sweep_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = collect([sweep_folder])
    monkeypatch.setattr(browser, "BUDGET", 60_000)
    views = browser.browse(study)
    assert 0 < sum(len(browser.card(view).encode()) for view in views) <= 60_000
    assert {view.benchmark for view in views} == set(study.benchmarks())
    told = browser.short_of(views, study)
    shown = sum(view.benchmark == "tiny-aime" for view in views)
    assert f"{shown} of the 30 questions of tiny-aime" in told
    assert "harness view" in told


def test_questions_of_synthetic_tasks_are_at_hand_and_others_are_not_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    assert all(question.text for question in known_questions("tiny-aime").values())
    assert known_questions("math500") == {}
    assert known_questions("no-such-task") == {}


def test_a_part_that_fails_costs_itself_and_a_warning(
    sweep_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure when it is made, a panel when it is drawn, a table, the summary: never the page."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such choice")

    monkeypatch.setattr("reports.figures.sweep.timeline", broken)
    monkeypatch.setattr("reports.figures.sweep._draw_slice", broken)
    monkeypatch.setattr("reports.tables.flips", broken)
    monkeypatch.setattr("reports.prose.summary", broken)
    found = Reader(page.build_report([sweep_folder], tmp_path / "r.html").read_text(encoding="utf-8"))
    told = _sentences(found)
    assert "Sweep, broken: could not be made from these folders (ValueError: no such choice)." in told
    assert "Slices: the objective against each setting, epsilon: could not be made" in told
    assert "Summary: could not be made" in told
    ids = {attributes.get("id") for _, attributes in found.tags}
    assert "figure-parallel-quick-sweep" in ids
    assert "figure-slices-quick-sweep" not in ids  # no panel of it was left
    assert {"table-differences", "table-trials"} <= ids
    assert "table-flips" not in ids


def test_tables_among_the_choices_and_trials_of_an_earlier_space_give_a_page(fresh_sweep: Path) -> None:
    path = fresh_sweep / "experiment.toml"
    experiment = tomllib.loads(path.read_text())
    experiment["sweep"]["space"] |= {
        "grpo.epsilon": [{"low": 0.2, "high": 0.2}, {"low": 0.2, "high": 0.28}],
        "grpo.group_size": [4, 8, 16],
    }
    path.write_text(tomli_w.dumps(experiment))
    path = fresh_sweep / "summary.json"
    summary = json.loads(path.read_text())
    for i, trial in enumerate(summary["trials"]):
        trial["params"] |= {
            "grpo.epsilon": '{"high": 0.28, "low": 0.2}',
            "grpo.group_size": 2 if i % 2 else 4,
        }
    path.write_text(json.dumps(summary))
    found = Reader(page.build_report([fresh_sweep]).read_text(encoding="utf-8"))
    assert "could not be made" not in _sentences(found)
    ids = {attributes.get("id") for _, attributes in found.tags}
    assert {"figure-slices-quick-sweep", "figure-parallel-quick-sweep"} <= ids


def test_many_models_have_a_short_title_and_a_ranking(tmp_path: Path) -> None:
    for model in range(40):
        stats = tuple(QuestionStats(f"q{i}", 4, min(4, model // 10 + (i % 2))) for i in range(30))
        Scores("math500", stats, "x").write(tmp_path / f"model-{model:02}-Instruct/math500")
    found = Reader(page.build_report(sorted(tmp_path.glob("model-*"))).read_text(encoding="utf-8"))
    assert "".join(found.texts["h1"]) == "40 models on math500"
    ids = {attributes.get("id") for _, attributes in found.tags}
    assert {"table-ranking", "figure-ranking"} <= ids
    assert "figure-forest" not in ids
    assert max(len(text) for text in found.texts["li"]) < 500

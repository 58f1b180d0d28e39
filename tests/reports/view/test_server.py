"""What the server answers, and to whom."""

from __future__ import annotations

import html
import http.client
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from evals.base.errors import UsageError
from reports.view import folder_pages
from reports.view.server import ADDRESS, Server, start


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    server = start(root, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(sweep_folder: Path) -> Iterator[Server]:
    with serving(sweep_folder.parent) as running:
        yield running


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        self.status, self.headers, self.body = status, headers, body


def ask(server: Server, path: str, method: str = "GET", host: str | None = None) -> Answer:
    connection = http.client.HTTPConnection(ADDRESS, server.server_port, timeout=120)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"{ADDRESS}:{server.server_port}")
    connection.endheaders()
    response = connection.getresponse()
    body = response.read().decode()
    headers = dict(response.getheaders())
    connection.close()
    return Answer(response.status, headers, body)


def links(page: str, beginning: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(rf'href="({re.escape(beginning)}[^"]*)"', page)]


def test_it_is_bound_to_this_machine_alone(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "0.0.0.0", "", "evil:8765"])
def test_another_name_is_refused(server: Server, host: str) -> None:
    answer = ask(server, "/", host=host or "x")
    assert (answer.status, answer.body) == (403, "not for this host\n")


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:8765", "LOCALHOST"])
def test_a_tunnels_name_is_accepted(server: Server, host: str) -> None:
    assert ask(server, "/", "HEAD", host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "MADEUP"])
def test_only_reading(server: Server, method: str) -> None:
    answer = ask(server, "/", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_pages_lead_from_the_index_to_a_sample(server: Server) -> None:
    index = ask(server, "/")
    assert index.status == 200
    assert "default-src 'none'" in index.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in index.headers["Content-Security-Policy"]
    assert links(index.body, "/at/")
    sweep = ask(server, "/at/quick-sweep").body
    assert "Learning curves" in sweep
    assert "loss is not finite at step 15" in sweep
    assert "/at/quick-sweep/trials/6/attempt-1" in links(sweep, "/at/")
    lists = links(sweep, "/samples/")
    wrong = ask(server, f"{lists[1]}&verdict=wrong").body
    assert wrong.count('class="row"') == 50
    assert 'class="tag correct"' not in wrong
    sample = ask(server, links(wrong, "/sample/")[0])
    assert sample.status == 200
    assert "Response" in sample.body
    following = re.search(r'<a href="([^"]+)" rel="next"', sample.body)
    assert following is not None
    assert 'class="tag wrong"' in ask(server, html.unescape(following[1])).body


def test_the_second_page_follows_the_first(server: Server) -> None:
    first = ask(server, "/samples/quick-sweep").body
    following = html.unescape(re.findall(r'<a href="([^"]+)" rel="next"', first)[0])
    second = ask(server, following).body
    assert second.count('class="row"') == 50
    assert not set(links(first, "/sample/")) & set(links(second, "/sample/"))
    back = html.unescape(re.findall(r'<a href="([^"]+)" rel="prev"', second)[0])
    assert links(ask(server, back).body, "/sample/") == links(first, "/sample/")


def test_how_far_a_page_is_counts_in_the_order_that_is_read(server: Server) -> None:
    def far(path: str) -> float | None:
        told = re.search(r'class="position">([\d.]+)% of', ask(server, path).body)
        return None if told is None else float(told[1])

    place = "/training/quick-sweep/trials/0/attempt-1"
    newest = far(place)  # 50 of 60 completions
    assert newest is not None
    assert 75 < newest < 90
    assert far(f"{place}?order=best") is None  # everything fits on one page
    assert far(f"{place}?text=What+is+7+") is None
    [following] = set(re.findall(r'href="([^"]*)" rel="next"', ask(server, place).body))
    assert far(html.unescape(following)) == 100


def test_what_a_model_wrote_is_text(server: Server) -> None:
    hostile = ask(server, "/samples/quick-sweep?benchmark=tiny-aime&model=base&verdict=unparsed").body
    assert "&lt;script&gt;window.hacked" in hostile
    assert "<script>window.hacked" not in hostile
    assert "\u202e" not in hostile
    query = quote('"><script>alert(1)</script>')
    assert "<script>alert" not in ask(server, f"/samples/quick-sweep?text={query}").body


@pytest.mark.parametrize(
    "path",
    [
        "/at/../secret",
        "/at/%2e%2e/secret",
        "/at//etc",
        "/at/%2fetc",
        "/samples/..",
        "/sample/../secret/samples.jsonl?start=0",
        "/report/../secret",
        "/tables/../secret",
        "/tables/link",
        "/at/link",
        "/sample/link/samples.jsonl?start=0",
        "/at/%00",
        "/at/nothing",
        "/files/x",
        "/at/%ff",
        "/sample/quick-sweep/summary.json?start=0",
        "/sample/quick-sweep/evals/samples.jsonl?start=1",
    ],
)
def test_nothing_else_is_readable(sweep_folder: Path, tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "samples.jsonl").write_text('{"id": "s3cret", "sample": 0, "response": "s3cret"}\n')
    (secret / "report.html").write_text("s3cret")
    (root / "link").symlink_to(secret)
    (root / "quick-sweep").mkdir()
    (root / "quick-sweep" / "summary.json").write_text("{}")
    with serving(root) as server:
        answer = ask(server, path)
        assert answer.status == 404
        assert "s3cret" not in answer.body
        assert "s3cret" not in ask(server, "/").body


def test_every_table_of_a_sweep_is_there_and_nothing_of_what_lies_outside(
    sweep_folder: Path, fresh_sweep: Path, server: Server
) -> None:
    assert '<a href="/tables/quick-sweep">tables in full</a>' in ask(server, "/at/quick-sweep").body
    body = ask(server, "/tables/quick-sweep").body
    for table in ("results", "differences", "turned", "trials"):
        assert f'data-key="{table}"' in body
    assert ask(server, "/tables/quick-sweep/trials/0/attempt-1").status == 404
    outside = fresh_sweep.parent.parent / "outside"
    shutil.copytree(sweep_folder / "evals" / "base", outside)
    summary = json.loads((fresh_sweep / "summary.json").read_text())
    summary["evals"]["winner"] = ["../../outside"]
    (fresh_sweep / "summary.json").write_text(json.dumps(summary))
    with serving(fresh_sweep.parent) as other:
        body = ask(other, "/tables/quick-sweep").body
    shutil.rmtree(outside)
    assert 'data-key="trials"' in body
    assert not re.search(r'<td class="t">(?:<a[^>]*>)?winner', body)


def test_a_report_is_shown_in_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    (tmp_path / "run" / "report.html").write_text("<p>report")
    with serving(tmp_path) as server:
        answer = ask(server, "/report/run")
    assert answer.body == "<p>report"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")


def test_a_log_and_a_failure_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "status.json").write_text(json.dumps({"state": "failed", "reason": "memory ran out at step 3"}))
    (run / "log.txt").write_text("first line\n" + "x" * 50 + "\n\x1b]0;title\x07 <b>last</b>\n")
    monkeypatch.setattr(folder_pages, "LOG", 40)
    with serving(tmp_path) as server:
        page = ask(server, "/at/run").body
        index = ask(server, "/").body
    assert "memory ran out at step 3" in page
    assert "&lt;b&gt;last&lt;/b&gt;" in page
    assert "\x1b" not in page
    assert "first line" not in page
    assert "failed" in index


def test_a_damaged_folder_costs_itself_alone(fresh_sweep: Path) -> None:
    (fresh_sweep / "summary.json").write_text("{")
    (fresh_sweep / "experiment.toml").write_text("= nonsense")
    (fresh_sweep.parent / "eval" / "aime").mkdir(parents=True)
    (fresh_sweep.parent / "eval" / "aime" / "samples.jsonl").write_text('{"id": "a", "sample": 0}\n{"id": ')
    with serving(fresh_sweep.parent) as server:
        index = ask(server, "/")
        assert index.status == 200
        assert "unreadable" in index.body
        assert ask(server, "/at/quick-sweep").status == 500
        assert ask(server, "/samples/eval").body.count('class="row"') == 1


def test_a_root_that_is_a_run_is_its_own_index(sweep_folder: Path) -> None:
    with serving(sweep_folder) as server:
        page = ask(server, "/").body
        assert "Timeline of trials" in page
        samples = links(page, "/samples/")[0]
        assert ask(server, samples).body.count('class="row"') == 50


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server((ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: cannot be used: "):
            start(tmp_path, port)
    with pytest.raises(UsageError, match="no such folder"):
        start(tmp_path / "nowhere")

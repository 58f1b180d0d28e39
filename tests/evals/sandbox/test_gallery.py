"""Hostile programs do not pass, get out, stay, or hurt the process that runs them."""

from __future__ import annotations

import os
import resource
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from evals.sandbox import Exam, Limits, Outcome, Program, Sandbox, Script
from evals.sandbox.charge import BACKSTOP
from tests.evals.sandbox import gallery

LIMITS = Limits(seconds=2.0, memory_mib=512, output_mib=4, files_mib=8)
PATIENT = replace(LIMITS, seconds=20.0)  # for what should end by itself, however busy the machine is
WORKERS = 2
MIB = 1 << 20


def _exam(source: str) -> Exam:
    """An exam whose expected values nobody can guess."""
    tests = "\n".join(f"assert f({x}) == {secrets.randbelow(10**12) + 10}" for x in (3, 4, 5))
    return Exam((source,), "f", tests, limits=PATIENT)


def _program(kind: str, name: str) -> Program:
    if kind == "forgery":
        return _exam(gallery.FORGERIES[name])
    if kind == "probe":
        return Script(gallery.PROBES[name], ("",), limits=PATIENT)
    disruption = gallery.DISRUPTIONS[name]
    return Script(disruption.source, ("",), limits=LIMITS if "timeout" in disruption.statuses else PATIENT)


NAMES = [
    *[("forgery", name) for name in gallery.FORGERIES],
    *[("probe", name) for name in gallery.PROBES],
    *[("disruption", name) for name in gallery.DISRUPTIONS],
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(WORKERS) as sandbox:
        if sandbox.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield sandbox
    assert not [child for child in psutil.Process().children(recursive=True) if "bwrap" in child.name()]


@pytest.fixture(scope="module")
def outcomes(sandbox: Sandbox) -> dict[tuple[str, str], Outcome]:
    return dict(zip(NAMES, sandbox.run_many([_program(*name) for name in NAMES]), strict=True))


def test_the_gallery_is_large_enough() -> None:
    assert len(NAMES) >= 40


@pytest.mark.parametrize("name", gallery.FORGERIES)
def test_no_forged_pass(outcomes: dict[tuple[str, str], Outcome], name: str) -> None:
    outcome = outcomes["forgery", name]
    assert outcome.status not in ("passed", "sandbox_error"), outcome


@pytest.mark.parametrize("name", gallery.PROBES)
def test_no_escape(outcomes: dict[tuple[str, str], Outcome], name: str) -> None:
    outcome = outcomes["probe", name]
    assert (outcome.status, outcome.outputs) == ("passed", ("contained\n",)), outcome


@pytest.mark.parametrize("name", gallery.HARMLESS)
def test_the_same_probe_reaches_something_outside(name: str) -> None:
    command = [sys.executable, "-c", gallery.PROBES[name]]
    result = subprocess.run(
        command, env={**os.environ, "SECRET": "x"}, capture_output=True, text=True, check=False
    )
    assert result.stdout.startswith("reached"), result


@pytest.mark.parametrize("name", gallery.DISRUPTIONS)
def test_disruptions_end_as_they_should(outcomes: dict[tuple[str, str], Outcome], name: str) -> None:
    outcome = outcomes["disruption", name]
    assert outcome.status in gallery.DISRUPTIONS[name].statuses, outcome


def test_every_run_ends_when_its_seconds_are_up(outcomes: dict[tuple[str, str], Outcome]) -> None:
    # The clock of a busy machine may show more: it is not charged.
    late = {
        name: outcome.charged
        for name, outcome in outcomes.items()
        if outcome.charged > _program(*name).limits.seconds + 1
    }
    assert not late
    assert any(outcome.charged for outcome in outcomes.values())
    assert max(outcome.seconds for outcome in outcomes.values()) < BACKSTOP * (PATIENT.seconds + 1)


def test_no_file_is_left(outcomes: dict[tuple[str, str], Outcome]) -> None:
    folders = ("/tmp", "/dev/shm", "/var/tmp", "/usr", "/", os.getcwd(), Path.home())
    assert [folder for folder in folders if (Path(folder) / gallery.MARK).exists()] == []


def test_no_process_is_left(sandbox: Sandbox, outcomes: dict[tuple[str, str], Outcome]) -> None:
    # Of each cell: bubblewrap, its process 1, the interpreter that waits.
    assert len(psutil.Process().children(recursive=True)) <= 3 * WORKERS


def test_the_next_program_is_served_as_if_nothing_had_been(
    sandbox: Sandbox, outcomes: dict[tuple[str, str], Outcome]
) -> None:
    honest = Exam(("def f(x): return x * x + 1",), "f", "assert f(3) == 10\nassert f(4) == 17")
    assert [outcome.status for outcome in sandbox.run_many([honest] * 4)] == ["passed"] * 4


def test_memory_of_this_process_stays_bounded(sandbox: Sandbox) -> None:
    floods = [Script(gallery.DISRUPTIONS["output_flood"].source, ("",), limits=LIMITS)] * 6
    sandbox.run_many(floods[:2])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = sandbox.run_many(floods)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert {outcome.status for outcome in outcomes} == {"output_limit"}
    # All six outputs are held in the outcomes, at most their limit each, and copied once while read.
    assert grown < (6 + 2 * WORKERS) * LIMITS.output_mib * MIB


@pytest.mark.parametrize(
    "value",
    [
        "'x' * (1 << 26)",
        "list(range(10**7))",
        "1 << (1 << 28)",
        "(lambda l: l.append(l) or l)([])",
        "iter(int, 1)",
    ],
)
def test_oversized_and_endless_answers_fail(sandbox: Sandbox, value: str) -> None:
    exam = replace(_exam(f"def f(x): return {value}"), limits=LIMITS)
    outcome = sandbox.run_many([exam])[0]
    assert outcome.status in ("failed", "crashed", "memory", "timeout"), outcome

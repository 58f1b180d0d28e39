"""What crosses from a call back to the tests: its exception, and what it did to its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.sandbox import Exam, Limits, Sandbox
from evals.sandbox.inside import changes

LIMITS = Limits(seconds=20.0)
DEQUE, COUNTER, ORDERED = (f"from collections import {name}" for name in ("deque", "Counter", "OrderedDict"))
ROWS = "a, b = [2], [1]\nx = [a, b]\nf(x)"
RAISED = "def raised(f, x):\n    try: f(x)\n    except ValueError: return True\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(2) as sandbox:
        if sandbox.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield sandbox


def _exam(sandbox: Sandbox, source: str, tests: str) -> tuple[str, str]:
    outcome = sandbox.run_many([Exam((source,), "f", tests, limits=LIMITS)])[0]
    return outcome.status, outcome.detail


@pytest.mark.parametrize("error", ["StopIteration", "StopAsyncIteration", "GeneratorExit"])
@pytest.mark.parametrize(
    "tests",
    [
        "assert all(map(lambda x: f(x) == x, [1, 2]))",
        "assert all(f(x) == x for x in [1, 2])",
        "def every():\n    for x in map(f, [1, 2]):\n        assert x == 1\nevery()",
        "assert [y for y in map(f, [1, 2])] == []",
        "for x in iter(lambda: f(1), 7):\n    assert x == 1",
    ],
)
def test_an_exception_that_ends_loops_does_not_end_the_tests(
    sandbox: Sandbox, error: str, tests: str
) -> None:
    status, detail = _exam(sandbox, f"def f(x): raise {error}('no')", tests)
    assert status == "failed"
    assert f"{error}: no" in detail


def test_a_generator_that_stops_early_is_a_shorter_one(sandbox: Sandbox) -> None:
    assert _exam(sandbox, "def f(x):\n    yield x\n    return", "assert list(f(1)) == [1]") == ("passed", "")


@pytest.mark.parametrize(
    ("source", "tests"),
    [
        ("def f(x): x.sort()", "x = [2, 1]\nf(x)\nassert x == [1, 2]"),
        ("def f(x): x.sort()", "x = [2, 1]\nassert f(x) is None and x == [1, 2]"),
        ("def f(x): x[:] = []", "x = [2, 1]\nf(x)\nassert x == []"),
        ("def f(x): x.update(b=2); del x['a']", "x = {'a': 1}\nf(x)\nassert x == {'b': 2}"),
        ("def f(x): x.add(3)", "x = {1}\nf(x)\nassert x == {1, 3}"),
        ("def f(x): x.reverse()", "x = bytearray(b'ab')\nf(x)\nassert x == b'ba'"),
        ("def f(x): x.rotate(1)", f"{DEQUE}\nx = deque([1, 2])\nf(x)\nassert list(x) == [2, 1]"),
        ("def f(x):\n    for r in x: r.reverse()", "x = [[1, 2], [3]]\nf(x)\nassert x == [[2, 1], [3]]"),
        ("def f(x): x.sort()", f"{ROWS}\nassert x[0] is b and x[1] is a and a == [2]"),
        ("def f(x):\n    x.sort()\n    x[0].append(9)", f"{ROWS}\nassert b == [1, 9] and a == [2]"),
        ("def f(x): x['a'][0]['b'] = 5", "x = {'a': [{'b': 1}]}\ny = x['a'][0]\nf(x)\nassert y == {'b': 5}"),
        ("def f(x): x[0].append(1)", "x = ([],)\nf(x)\nassert x == ([1],)"),
        ("def f(x, *, out): out.append(x)", "out = []\nf(3, out=out)\nassert out == [3]"),
        ("def f(x):\n    x.append(1)\n    raise ValueError", "x = []\nraised(f, x)\nassert x == [1]"),
        ("def f(x):\n    x.append(1)\n    return x", "x = []\nassert f(x) == [1] == x"),
        ("def f(x): x['b'] += 2", f"{COUNTER}\nx = Counter('ab')\nf(x)\nassert x == Counter('abbb')"),
        ("def f(x): x['b'] = 2", f"{ORDERED}\nx = OrderedDict(a=1)\nf(x)\nassert list(x) == ['a', 'b']"),
        ("class A:\n    pass\ndef f(x): x.append(A())", "x = []\nf(x)\nassert len(x) == 1"),
        ("def f(x): return sorted(x)", "x = [2, 1]\nassert f(x) == [1, 2] and x == [2, 1]"),
        ("def f(x): return {1: 2}.keys()", "assert f(0) == {1} and len(f(0)) == 1"),
        ("def f(x): return {1: 2}.items()", "assert f(0) == {(1, 2)}"),
        ("def f(x): return {1: 2}.values()", "assert list(f(0)) == [2] and len(f(0)) == 1"),
    ],
)  # fmt: skip
def test_what_a_call_does_to_its_arguments_is_done_to_the_tests_objects(
    sandbox: Sandbox, source: str, tests: str
) -> None:
    names: dict[str, object] = {}
    exec(f"{source}\n{RAISED}{tests}", names)  # in one process, where it means what it says
    assert _exam(sandbox, source, RAISED + tests) == ("passed", "")


def test_an_argument_that_should_have_been_changed_and_was_not(sandbox: Sandbox) -> None:
    tests = "x = [2, 1]\nf(x)\nassert x == [1, 2]"
    for source in ("def f(x): sorted(x)", "def f(x): x = [1, 2]", "def f(x): x[0] = 1"):
        assert _exam(sandbox, source, tests)[0] == "failed"


VALUES = st.recursive(
    st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.integers(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of busy machines
@given(st.data())
def test_changes_make_equal_what_was_changed(data: st.DataObject) -> None:
    here = data.draw(st.lists(VALUES, max_size=4))
    there = _copy(here)
    arguments = changes.Arguments(there)
    containers = changes.containers(there)
    for _ in range(data.draw(st.integers(0, 4))):
        _change(data, data.draw(st.sampled_from(containers)), containers)
    told = arguments.changes()
    kept = {id(each): each for each in changes.containers(here)}
    changes.apply(here, told)
    assert here == there
    assert all(id(each) in kept for each in [here])


def _copy(value: Any) -> Any:
    """A copy without any part of the original, as what crosses between processes is."""
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(part) for part in value)
    return set(value) if isinstance(value, set) else value


def _change(data: st.DataObject, container: Any, containers: list[Any]) -> None:
    new = data.draw(st.integers())
    if isinstance(container, set):
        container ^= {new}
    elif isinstance(container, dict):
        container[new] = [new]
    else:
        data.draw(st.sampled_from([container.reverse, lambda: container.append(new), container.clear]))()


@pytest.mark.parametrize(
    "told",
    [
        None, 1, "x", [1], [[]], [[0]], [[0, []]], [[7, [], []]], [["0", [], []]], [[0, 1, []]], [[0, [], 1]],
        [[0, [], [[0, 0]]]], [[0, [None], [[0, 9]]]], [[0, [None], [[9, 0]]]], [[1, [1], []]],
        [[1, [[], 2], []]], [[None, [], []]], [[0, None, []]], [[2, ["a"], []]], [[2, [1000], []]],
        [[3, [[]], []]],
    ],
)  # fmt: skip
def test_changes_that_are_none_are_an_error(told: Any) -> None:
    with pytest.raises(ValueError, match="no changes of the arguments"):
        changes.apply([{}, bytearray(), set()], told)


FORGED = """
import json, os
def f(x):
    data = json.dumps(["value", None, {told}]).encode()
    for fd in range(3, 64):
        try: os.write(fd, len(data).to_bytes(4, "big") + data)
        except OSError: pass
    return 0
"""


@pytest.mark.parametrize(
    "told", ["[[0, [1, 2], []]]", "[[9, [], []]]", "[[0, [0], [[0, 0]]]]", "7", "[[0, 'x', []]]", "[{}]"]
)
def test_a_forged_change_passes_nothing(sandbox: Sandbox, told: str) -> None:
    # It may change the tests' own argument, as any program may; it reaches nothing else.
    tests = "x, wanted = [3], 12345\nassert f(x) == wanted\nassert f(x) == wanted"
    assert _exam(sandbox, FORGED.replace("{told}", told), tests)[0] in ("failed", "crashed")


SPOOFS = {
    "a list that lies about its class": "class L(list):\n    __class__ = int\ndef f(x): x.append(L())",
    "equal to everything": "class E:\n    __eq__ = lambda *_: True\ndef f(x): x[:] = [E(), E()]",
    "an int that is, too": "class I(int):\n    __eq__ = lambda *_: True\ndef f(x): x[:] = [I(), I()]",
    "a cycle": "def f(x): x[:] = [x, x]",
    "no end": "def f(x): x[:] = [iter(int, 1)]",
    "more than can cross": "def f(x): x[:] = ['a' * (1 << 25)] * 2",
}


@pytest.mark.parametrize("name", SPOOFS)
def test_spoofed_arguments_equal_nothing(sandbox: Sandbox, name: str) -> None:
    exam = Exam((SPOOFS[name],), "f", "x = [2, 1]\nf(x)\nassert x == [1, 2]", limits=Limits(seconds=3.0))
    assert sandbox.run_many([exam])[0].status in ("failed", "crashed", "memory", "timeout")

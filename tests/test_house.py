"""The structure that docs/architecture.md draws: who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("evals", "harness", "reports")
ROOMS = (
    *("evals", "harness.config", "harness.models", "harness.engines", "harness.rewards", "harness.train"),
    *("harness.sweep", "harness.plan", "reports", "harness.jobs", "harness.api", "harness.cli"),
)
"""From the ground up."""
INNER_ROOMS = (
    *("evals.base", "evals.task", "evals.duel", "evals.engine", "evals.sandbox", "evals.stats"),
    *("evals.price", "evals.replies", "evals.graders", "evals.tasks", "evals.rollout", "evals.records"),
    *("evals.formats", "evals.scores", "evals.comparison"),
)
"""Inside evals/, from the ground up; its other files stand above all of these."""
OPTIONAL = {
    *("trl", "ray", "lm_eval", "alpaca_eval", "psycopg", "selenium", "statsmodels", "vllm"),
    *("submitit", "tensorboard", "trackio"),
}
"""Packages that only an extra installs."""
LONGEST = 400
LONG = {
    "harness.sweep.controller": "one loop and its state",
}
"""Files of more than ``LONGEST`` lines, and why."""


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports when it runs, inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    guarded = [block for block in blocks if "TYPE_CHECKING" in ast.dump(block.test)]
    typing_only = {id(node) for block in guarded for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES or node.module in MODULES:
                    yield inner if inner in MODULES else node.module


ARROWS = {
    name: {target for target in imported(path) if target != name and not name.startswith(f"{target}.")}
    for name, path in MODULES.items()
}


def room(name: str) -> str:
    found = [place for place in ROOMS if name == place or name.startswith(f"{place}.")]
    assert found, f"{name} is in no room; docs/architecture.md says where things go"
    return max(found, key=len)


def test_no_file_imports_a_higher_room() -> None:
    up = [
        f"{name} imports {target}"
        for name, targets in ARROWS.items()
        for target in targets
        if name != "harness" and target != "harness" and ROOMS.index(room(target)) > ROOMS.index(room(name))
    ]
    assert not up, "\n".join(up)


def floor(name: str) -> int:
    """How high a file of evals/ stands."""
    found = [place for place in INNER_ROOMS if name == place or name.startswith(f"{place}.")]
    return INNER_ROOMS.index(found[0]) if found else len(INNER_ROOMS)


def test_no_file_of_evals_imports_a_higher_room_of_it() -> None:
    up = [
        f"{name} imports {target}"
        for name, targets in ARROWS.items()
        for target in targets
        if name.startswith("evals.") and target.startswith("evals.") and floor(target) > floor(name)
    ]
    assert not up, "\n".join(up)


def test_no_files_import_each_other_in_a_circle() -> None:
    """Leaves are taken away until none is left; what remains goes round."""
    left = {name: set(targets) for name, targets in ARROWS.items()}
    while leaves := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in leaves:
            del left[name]
    circle = {name: sorted(targets & left.keys()) for name, targets in left.items()}
    assert not circle, circle


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=str)
def test_a_test_file_is_collected_without_what_only_an_extra_installs(path: Path) -> None:
    """Where the top of a file imports such a package, ``importorskip`` has to have asked for it before."""
    asked: set[str] = set()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
            names += [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
            unasked = {name.partition(".")[0] for name in names} & OPTIONAL - asked
            assert not unasked, f"line {statement.lineno}: import it inside the test, after importorskip"
        elif "importorskip" in ast.dump(statement):
            asked |= {name for name in OPTIONAL if f"'{name}" in ast.dump(statement)}


def test_every_folder_is_a_package_and_nothing_lies_loose() -> None:
    assert [path.name for path in (ROOT / "harness").glob("*.py")] == ["__init__.py"]
    folders = {path.parent for path in MODULES.values()}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_long_file_has_its_reason(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or name in LONG, f"{lines} lines: split it by idea, or say here why not"

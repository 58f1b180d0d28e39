"""The experiment files that come with the package."""

from __future__ import annotations

from pathlib import Path

from evals.base.errors import UsageError


def experiment_file(name: str) -> Path:
    """The path of a shipped experiment: inside an installed package, or beside it in a source checkout.

    Raises:
        UsageError: nothing has that name.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "experiments", package.parent / "experiments"):
        path = folder / f"{name}.toml"
        if path.exists():
            return path
    raise UsageError(f"this installation includes no experiment {name!r}")

"""Which grader gave a verdict: a digest of its code and of the libraries that it judges by."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evals.graders.registry import GRADERS

LIBRARIES: dict[str, tuple[str, ...]] = {
    "math": ("math-verify", "latex2sympy2_extended", "sympy"),
    "integer": (),
    "choice": (),
    "code": ("numpy",),
    "exact": (),
    "reasoning_gym": ("reasoning-gym",),
}
"""The libraries behind each grader that asks no model."""
ASKING = {"judge", "second_opinion", "version"}
"""Files and folders in here that no other grader runs."""


@lru_cache
def grader_version(kind: str) -> str:
    """Changes with the grader's code, its libraries and, where programs are run, Python; "" for a judge.

    One's own grader goes by the file that it is defined in. A judge is known by its name and prompt
    (``judge_of``): asking it again costs money, and it would not say the same.
    """
    if kind not in LIBRARIES:
        origin = GRADERS.origin(kind)
        return "" if origin is None else origin.get("blake2b", origin["origin"])
    here = Path(__file__).parent
    files = [path for path in here.rglob("*.py") if not ASKING & {path.stem, path.parent.name}]
    files += sorted((here.parent / "sandbox").rglob("*.py")) if kind == "code" else []
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(files):
        digest.update(str(path.relative_to(here.parent)).encode() + b"\0" + path.read_bytes())
    for name in LIBRARIES[kind]:
        digest.update(f"{name} {_release(name)}".encode())
    if kind == "code":
        digest.update(f"python {sys.version_info[:2]}".encode())
    return digest.hexdigest()


def _release(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

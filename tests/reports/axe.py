"""axe-core on a page that is open in the browser: what of its findings is serious or critical."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "axe-core@4.11.0"
RUN = """
const [theme, rules, done] = arguments;
document.documentElement.dataset.theme = theme;
const only = rules.length ? {runOnly: {type: "rule", values: rules}} : {};
axe.run(document, {resultTypes: ["violations"], ...only}).then((found) => done(found.violations));
"""


def fetch(folder: Path) -> str:
    """The script of axe-core, from npm; ``folder`` is an empty one. Skips the test where there is none."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so axe-core cannot be fetched")
    try:
        subprocess.run([npm, "pack", PACKAGE], cwd=folder, check=True, capture_output=True, timeout=90)
    except (subprocess.SubprocessError, OSError):
        pytest.skip(f"npm does not get {PACKAGE} here")
    [archive] = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder)
    return (folder / "package/axe.min.js").read_text(encoding="utf-8")


def serious(browser: Any, script: str) -> list[tuple[str, str, int]]:
    """(rule, the first element's HTML, elements) of the open page.

    In its light theme, and for contrast, which is what a theme changes, in its dark one.
    """
    browser.execute_script(script)
    browser.set_script_timeout(120)
    found = browser.execute_async_script(RUN, "light", [])
    found += browser.execute_async_script(RUN, "dark", ["color-contrast"])
    return [
        (each["id"], each["nodes"][0]["html"][:200], len(each["nodes"]))
        for each in found
        if each["impact"] in ("serious", "critical")
    ]

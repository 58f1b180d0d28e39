"""The static copy: every page that a page leads to, and every sample."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from evals.base.errors import UsageError
from reports.view import bundle


def test_every_link_of_a_copy_leads_somewhere_and_every_sample_is_there(
    sweep_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    written = bundle.write_bundle(sweep_folder, out)
    files = {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()}
    assert len(files) == written
    for name, page in files.items():
        assert "Content-Security-Policy" in page
        for href in map(html.unescape, re.findall(r'href="([^"]+)"', page)):
            file, _, anchor = href.partition("#")
            if file.startswith("data:"):
                continue
            assert (file or name) in files, (name, href)
            assert not anchor or f'id="{anchor}"' in page, (name, href)
    assert "<script>window.hacked" not in "".join(files.values())
    lists = [page for name, page in files.items() if ".samples-" in name]
    samples = sum(page.count('<summary class="row">') for page in lists)
    assert samples == 3 * (30 * 64 + 60 * 8 + 20 * 8)


def test_a_copy_is_written_into_a_new_folder_outside(sweep_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies inside the folder that is copied"):
        bundle.write_bundle(sweep_folder, sweep_folder / "copy")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="already exists"):
        bundle.write_bundle(sweep_folder, tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        bundle.write_bundle(tmp_path / "nowhere", tmp_path / "copy")

"""The example reports of the documentation, made from recorded runs: `make docs` runs this.

docs/gallery/NAME.tar.xz is what a command left in its folder, without weights; docs/gallery/NAME.html is
made from it at every build, so that the examples look as reports look now. To record a run:

    python scripts/gallery.py runs/tiny-quickstart
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from reports.page import build_report

GALLERY = Path(__file__).resolve().parents[1] / "docs" / "gallery"
LEFT_OUT = (
    *("checkpoints", "wandb", "study.db", "report.html", "progress.jsonl", "log.txt", "tokens.jsonl"),
    *(".alive", ".holder", ".lock", "process"),
)
"""What a report does without, by how its name begins."""
MOST = 1_500_000
"""Bytes that a recording, or a page, may have."""


def record(folder: Path) -> Path:
    """Packs the files of ``folder`` that its report needs, with no path of this machine in them."""
    packed = GALLERY / f"{folder.name}.tar.xz"
    GALLERY.mkdir(exist_ok=True)
    with tarfile.open(packed, "w:xz", preset=9) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            launched = path.name == "manifest.json" and len(inside.parts) > 1  # says where it was launched
            if path.is_dir() or launched or any(part.startswith(LEFT_OUT) for part in inside.parts):
                continue
            content = path.read_bytes()
            if path.name == "manifest.json":
                manifest = json.loads(content)
                manifest["command"] = [Path(w).name if w.startswith("/") else w for w in manifest["command"]]
                content = json.dumps(manifest).encode()
            entry = tarfile.TarInfo(f"{folder.name}/{inside.as_posix()}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed


def page(packed: Path) -> Path:
    """The report of a recorded run, beside it."""
    name = packed.name.removesuffix(".tar.xz")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
        return build_report([Path(folder) / name], packed.with_name(f"{name}.html"))


def main() -> None:
    written = [record(Path(name)) for name in sys.argv[1:]]
    written += [page(packed) for packed in sorted(GALLERY.glob("*.tar.xz"))]
    for path in written:
        size = path.stat().st_size
        print(f"{path.relative_to(GALLERY.parent)}: {size / 1e6:.2f} MB")
        if size > MOST:
            sys.exit(f"{path.name} has more than {MOST / 1e6} MB")


if __name__ == "__main__":
    main()

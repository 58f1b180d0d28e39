"""Where a model is: the folder behind every name that an experiment or a command may give one.

"tiny" and its like    pretrained here            a folder in Hugging Face format, whole or sharded
"smollm2"              from a package, or the hub  an adapter's folder: its base, with the adapter added
OWNER/NAME             on the hub                 a run's folder: its best checkpoint, else its last
FILE.gguf              converted once             a sweep's folder: its winner's first confirmed run
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors as hub

from evals.base import io
from evals.base.errors import DamagedFileError, JobError, UsageError, first_line
from evals.base.registry import nearest
from harness import config
from harness.models import gguf_file, lora
from harness.models.damage import WEIGHT_FILES, check_config
from harness.models.tiny.build import SIZES, tiny_folder
from harness.models.tiny.build import config_folder as tiny_config_folder

CODE_FILES = ("*.py",)
"""Fetched, too, where ``policy.trust_remote_code`` allows them to run."""
HUB_FILES = ("*.json", WEIGHT_FILES, "*.jinja", "*.model", "*.txt")
"""What a policy is made of on the hub."""
EXPECTED = (
    'expected "tiny", "smollm2", a folder with a Hugging Face model, a run or a sweep, a GGUF file, or a '
    "model on the hub such as Qwen/Qwen2.5-1.5B"
)


@dataclass(frozen=True)
class Source:
    """A folder with configuration, weights and tokenizer, and an adapter's that is added to it."""

    folder: Path
    adapter: Path | None = None


def find(settings: config.Policy, files: Sequence[str] = HUB_FILES) -> Source:
    """Where the model is that ``settings`` name; built, converted or downloaded where it is not here yet.

    ``files``: of a hub model, the files that are fetched.

    Raises:
        UsageError: no such model, revision, file or folder.
        JobError: the hub cannot be reached and the model is not in its cache.
    """
    folder = _folder(settings, files)
    named = lora.base_of(folder)
    if named is None:
        return Source(folder)
    base, revision = named
    below = settings.model_copy(update={"model": base, "revision": revision})
    if base == settings.model:
        raise UsageError(f"{folder}: the adapter names itself as its base model")
    try:
        whole = find(below, files)
    except (UsageError, JobError) as error:
        kind = JobError if isinstance(error, JobError) else UsageError
        raise kind(
            f"{folder / lora.SETTINGS}: its base_model_name_or_path is {base}, which cannot be used: {error}"
        ) from None
    if whole.adapter is not None:
        raise UsageError(f"{folder}: an adapter on top of another adapter ({base}); merge that one first")
    return Source(whole.folder, folder)


def config_folder(settings: config.Policy) -> Path:
    """A folder with the configuration and the tokenizer; of a hub model, its weights are not fetched, and an
    embedded policy is not pretrained for it.

    Raises:
        UsageError: no such model, revision or folder.
        JobError: the hub cannot be reached and the model is not in its cache.
    """
    if settings.model in SIZES and settings.revision is None:
        return tiny_config_folder(SIZES[settings.model])
    folder = find(settings, tuple(pattern for pattern in HUB_FILES if pattern != WEIGHT_FILES)).folder
    check_config(folder)
    return folder


def is_here(model: str) -> bool:
    """Whether ``find`` would ask the hub for nothing but an adapter's base."""
    if model == gguf_file.SMOLLM2:
        return gguf_file.packaged_name() is not None
    return model in SIZES or Path(model).expanduser().exists()


def full_name(settings: config.Policy) -> str:
    """What tables, messages and adapters call the model: no two models of this machine have it in common."""
    path = Path(settings.model).expanduser()
    if settings.model not in (*SIZES, gguf_file.SMOLLM2) and path.exists():
        return str(path.resolve())
    return settings.model if settings.revision is None else f"{settings.model}@{settings.revision}"


def short_name(model: str) -> str:
    """A name for a folder of results, as short as it can be: two models do not share one.

    A hub id is its two parts; a path below the current folder its parts without "runs" and "checkpoints", and
    any other path its last part with a digest of the whole.
    """
    path = Path(model).expanduser()
    if model in (*SIZES, gguf_file.SMOLLM2) or not path.exists():
        return model.replace("/", "-")
    whole = path.resolve()
    if whole.is_relative_to(Path.cwd()) and whole != Path.cwd():
        parts = [part for part in whole.relative_to(Path.cwd()).parts if part not in ("runs", "checkpoints")]
        return "-".join(parts)
    return f"{whole.name}-{hashlib.blake2b(str(whole).encode(), digest_size=3).hexdigest()}"


def _folder(settings: config.Policy, files: Sequence[str]) -> Path:
    files = (*files, *CODE_FILES) if settings.trust_remote_code else files
    model, revision = settings.model, settings.revision
    if model == gguf_file.SMOLLM2:
        return _smollm2(settings, files)
    path = Path(model).expanduser()
    if model not in SIZES and not path.exists():
        return _download(model, revision, files)
    if revision is not None:
        what = "is built here" if model in SIZES else "is here"
        raise UsageError(f"policy.revision is for hub models, and policy.model {model} {what}")
    if model in SIZES:
        return tiny_folder(SIZES[model])
    return gguf_file.folder_of(path) if _is_gguf(path) else model_in(path)


def _is_gguf(path: Path) -> bool:
    """Whether ``path`` is a file, which must then be a GGUF file.

    Raises:
        UsageError: it is another file.
    """
    if path.is_file() and path.suffix.lower() != ".gguf":
        raise UsageError(f"policy.model: {path} is a file, but not a GGUF file; {EXPECTED}")
    return path.is_file()


def _smollm2(settings: config.Policy, files: Sequence[str]) -> Path:
    found = None if settings.revision else gguf_file.packaged()
    if found is not None:
        return found
    try:
        return _download(gguf_file.SMOLLM2_HUB, settings.revision, files)
    except JobError as error:
        raise JobError(f"{error}; without the hub: {gguf_file.SMOLLM2_ADVICE}") from None


def model_in(folder: Path) -> Path:
    """The model's own folder in ``folder``: itself, or the checkpoint that stands for a run or a sweep.

    Raises:
        UsageError: a run without a checkpoint, a sweep without a winner, or several models.
    """
    if (folder / "config.json").is_file() or (folder / lora.SETTINGS).is_file():
        return folder
    if (folder / "summary.json").is_file():
        return model_in(_winner(folder))
    if (folder / "arms").is_dir():
        raise UsageError(
            f"{folder}: contains several arms; choose a run of one, such as {folder}/arms/NAME/seed-1"
        )
    if (folder / "checkpoints").is_dir() or (folder / "experiment.toml").is_file():
        return _checkpoint(folder)
    attempts = _numbered(folder, "attempt-")
    if attempts:
        return model_in(attempts[-1])
    files = sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        raise UsageError(f"{folder}: has {len(files)} GGUF files; choose one, such as {files[0]}")
    return gguf_file.folder_of(files[0]) if files else folder


def _checkpoint(run: Path) -> Path:
    best, steps = run / "checkpoints" / "best", _numbered(run / "checkpoints", "step-")
    if best.exists():
        return best.resolve()
    if not steps:
        raise UsageError(f"{run}: the run has written no checkpoint yet; train it further, or name another")
    return steps[-1]


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """The folders PREFIXn inside ``folder``, by n."""
    found = [path for path in folder.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(prefix)))


def _winner(sweep: Path) -> Path:
    """The run that stands for a sweep's winner: the first of its confirmation, else the trial's own."""
    summary = sweep / "summary.json"
    try:
        told = io.read_json(summary)
        winner = told["winner"]
        if winner is None:
            raise UsageError(f"{sweep}: the sweep has no winner; choose a trial, such as {sweep}/trials/0")
        confirmed = winner["confirmation"]
        runs = {trial["number"]: trial["run"] for trial in told["trials"]}
        return sweep / str(confirmed[0]["run"] if confirmed else runs[winner["trial"]])
    except (DamagedFileError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{summary}: not a valid sweep summary: {first_line(error)}") from None


def _download(model: str, revision: str | None, files: Sequence[str]) -> Path:
    if model.startswith((".", "~", "/")) or model.endswith(".gguf"):
        raise UsageError(f"policy.model: no such file or folder {model}; {EXPECTED}")
    try:
        return Path(huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=list(files)))
    except hub.HFValidationError:
        raise UsageError(f"policy.model: no folder {model}; {EXPECTED}") from None
    except hub.GatedRepoError:
        raise UsageError(
            f"policy.model: {model} is gated: accept its licence on the hub, then `hf auth login`"
        ) from None
    except hub.RevisionNotFoundError:
        raise UsageError(f"policy.revision: {model} has no revision {revision} on the hub") from None
    except hub.RepositoryNotFoundError:
        raise UsageError(
            f"policy.model: {model} is neither a folder nor a model on the hub; {_meant(model)}{EXPECTED}"
        ) from None
    except Exception as error:  # the hub client's network errors share no base class
        raise JobError(
            f"policy.model: {model} is not a folder, is not in the local hub cache, and could not be fetched "
            f"({_why(error)}); {_meant(model)}name a folder, or run `hf download {model}` where the hub can "
            "be reached"
        ) from error


def _meant(model: str) -> str:
    """A question whether one of the models that need no hub was meant; "" where no name is near."""
    meant = nearest(model, (*SIZES, gguf_file.SMOLLM2))
    return meant and f"{meant} Otherwise "


def _why(error: Exception) -> str:
    offline = isinstance(error, hub.OfflineModeIsEnabled | hub.LocalEntryNotFoundError)
    return "the hub cannot be reached from here" if offline else first_line(error)

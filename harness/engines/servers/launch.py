"""vLLM servers that are started on this machine and end with the process that started them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from evals.base.errors import UsageError
from harness.engines.servers.control import Control
from harness.engines.vllm_settings import VllmSettings
from harness.engines.vllm_start import ALONE, Subject, arguments

OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_", "TORCH_NCCL_")
"""Beginnings of variables that would make a server take itself for a process of the run."""
SERVED_AS = "policy"
ENDS_WITHIN = 10.0


class Launched:
    """Servers of one model, each in a process group of its own that a watcher leads (``watch``)."""

    def __init__(
        self,
        subject: Subject,
        device: torch.device,
        settings: VllmSettings,
        backend: str,
        folder: Path,
        devices: list[list[str]],
    ) -> None:
        """Starts one for each of ``devices`` (names for CUDA_VISIBLE_DEVICES; none on a CPU), at once.

        ``folder``: where each writes what it says.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer = tempfile.TemporaryDirectory()
        subject.tokenizer.save_pretrained(self._tokenizer.name)
        subject.config.save_pretrained(self._tokenizer.name)  # vLLM looks for one there
        self._processes: list[subprocess.Popen[bytes]] = []
        self.addresses: list[str] = []
        self._logs: list[Path] = []
        for number, own in enumerate(devices):
            port = _free_port()
            words: dict[str, Any] = {
                "model": str(subject.folder),
                "tokenizer": self._tokenizer.name,
                "served_model_name": SERVED_AS,
                "host": "127.0.0.1",
                "port": port,
                "load_format": "safetensors",
                "dtype": str(subject.dtype).removeprefix("torch."),
                "logprobs_mode": "processed_logprobs",
                "generation_config": "vllm",
                "trust_remote_code": subject.trust,
                "weight_transfer_config": {"backend": backend},
                "enable_scale_out": True,  # or else prompts cannot be sent as tokens
                "data_parallel_size": settings.data_parallel,
                "uvicorn_log_level": "warning",
                **arguments(subject, device, settings, settings.memory_share or ALONE),
            }
            log = folder / f"server-{number}.log"
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "harness.engines.servers.watch", str(os.getpid())),
                        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
                        *flags(words),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment(own),
                    start_new_session=True,
                )
            self._processes.append(process)
            self.addresses.append(f"http://127.0.0.1:{port}")
            self._logs.append(log)

    def wait(self, seconds: float) -> None:
        """Returns when all of them answer.

        Raises:
            JobError: one ended, or does not answer in ``seconds``.
        """
        for number, address in enumerate(self.addresses):
            control = Control(address, 10.0)
            control.wait(seconds, lambda number=number: self.ended(number))  # type: ignore[misc]
            control.close()

    def ended(self, number: int | None = None) -> str | None:
        """The sentence about a server that has ended; None while all, or that one, run."""
        for place, process in enumerate(self._processes):
            if number in (None, place) and process.poll() is not None:
                return (
                    f"policy.servers: the server at {self.addresses[place]} has ended "
                    f"(status {process.returncode}): {_last_error(self._logs[place])}; see "
                    f"{self._logs[place]}; the same command resumes from the last checkpoint"
                )
        return None

    def close(self) -> None:
        """Ends them."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            if number == signal.SIGTERM:
                for process in self._processes:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(ENDS_WITHIN)
        for process in self._processes:
            process.wait()
        self._tokenizer.cleanup()


def flags(words: Mapping[str, Any]) -> list[str]:
    """EngineArgs as options of vLLM's command."""
    found = []
    for name, value in words.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{'' if value else 'no-'}{option}")
        elif isinstance(value, dict | list):
            found += [f"--{option}", json.dumps(value)]
        elif value is not None:
            found.append(f"--{option}={value}")
    return found


def environment(devices: list[str]) -> dict[str, str]:
    """This process's environment without what is only for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_TORCHRUN)}
    kept |= {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    if devices:
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    return kept


def split_devices(visible: list[str], training: int, count: int, each: int) -> list[list[str]]:
    """The GPUs of ``count`` servers with ``each`` of them, behind the ``training`` first ones.

    Raises:
        UsageError: there are not as many.
    """
    free = visible[training:]
    if len(free) < count * each:
        raise UsageError(
            f"policy.servers.count: {count} servers of {each} GPUs need {count * each} beside the {training} "
            f"that train, and this machine has {len(visible)}"
        )
    return [free[number * each : (number + 1) * each] for number in range(count)]


def _last_error(log: Path) -> str:
    """The last line that looks like an error, for a server prints much behind it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [line.strip() for line in lines if "Error" in line]
    return found[-1][-200:] if found else "it said no reason"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The trusted process that waits inside the sandbox and forks a confined child for every program.

It speaks to the parent over descriptor 0, a SOCK_SEQPACKET socket: JSON requests, one reply to each.

    {"spawn": [{"role", "fds", "limits"}, …], "numpy"} + descriptors  → {"pids"} + a pidfd for each child
    {"reap": [pid, …]}                                       → {"statuses"}, os.waitpid's

A child takes as many of the descriptors as its "fds" says, in order. Several children go into one message,
for on a busy machine every message costs a wait for the processor.

What a child works on reaches it through a descriptor of its own, never through this process: a fork inherits
this process's memory, so there is nothing here of earlier programs or of any test.

A child of a sandbox with namespaces gets its own pid and mount namespaces and a /tmp of its own. It is
process 1 there: no signal reaches anything outside, and with it every descendant dies. A child under
Landlock reads the system's folders and nothing else. Either then loses its capabilities, gets resource
limits and a seccomp filter that admits a list of system calls. Runs inside the sandbox: standard
library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import io
import json
import os
import random
import resource
import signal
import socket
import struct
import sys
import traceback
import types
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from evals.sandbox.inside import answering, examining, frames

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x8000000, 0x20000000
MS_NOSUID, MS_NODEV = 2, 4
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CAPABILITY_VERSION_3 = 0x20080522
FIRST_EXTRA = 3  # a child's descriptors: 0, 1, 2, then those that its role takes
STACK = 256 << 20  # bytes of stack for native programs: deep recursion is usual in contests

# What programs often import: a fork has it already. Not threading: its hook after a fork makes each dearer.
PRELOADED = """
    bisect cmath collections copy dataclasses datetime decimal enum fractions functools hashlib heapq
    itertools math operator re statistics string textwrap typing
"""


class Setup(NamedTuple):
    """What the parent tells at the start: "namespaces" or "landlock", readable folders, seccomp filters.

    ``packages`` is a folder that has numpy in it, or "".
    """

    mode: str
    readable: list[str]
    packages: str
    filters: dict[str, str]


def main(control: socket.socket, setup: Setup) -> None:
    """Serves requests until the parent closes the socket."""
    own_pidfd = os.pidfd_open(os.getpid())
    filters = {role: bytes.fromhex(program) for role, program in setup.filters.items()}
    for name in PRELOADED.split():
        importlib.import_module(name)
    if setup.packages:
        sys.path.append(setup.packages)
        importlib.util.find_spec("numpy")  # a child under Landlock cannot list the folder: this remembers it
    gc.collect()
    gc.freeze()  # a child's collector then leaves the pages it shares with this process alone
    control.send(json.dumps({"ready": list(sys.version_info[:3])}).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(control, 65536, 32)
        if not data:
            os._exit(0)
        request = json.loads(data)
        if "reap" in request:
            statuses = [os.waitpid(pid, 0)[1] for pid in request["reap"]]
            control.send(json.dumps({"statuses": statuses}).encode())
            continue
        if request["numpy"] and "numpy" not in sys.modules:
            _import_numpy()
        left, pids, pidfds = list(fds), [], []
        for order in request["spawn"]:
            own, left = left[: order["fds"]], left[order["fds"] :]
            pid = _fork(own_pidfd if setup.mode == "namespaces" else None)
            if pid == 0:
                _child(order["role"], order["limits"], own, setup, filters)
            pids.append(pid)
            pidfds.append(os.pidfd_open(pid))
        socket.send_fds(control, [json.dumps({"pids": pids}).encode()], pidfds)
        for fd in [*fds, *pidfds]:
            os.close(fd)


def _import_numpy() -> None:
    """Imports numpy for every child to come: in each child it would take longer than most programs run."""
    with contextlib.suppress(ImportError):
        importlib.import_module("numpy")
    gc.collect()
    gc.freeze()


def _fork(own_pidfd: int | None) -> int:
    """A fork; with a pidfd of this process, the child becomes process 1 of a new pid namespace."""
    if own_pidfd is None:
        return os.fork()
    _call("unshare", CLONE_NEWPID)
    pid = os.fork()
    if pid:
        _call("setns", own_pidfd, CLONE_NEWPID)  # back: a second unshare is only allowed from here
    return pid


def _child(
    role: str, limits: dict[str, int], fds: list[int], setup: Setup, filters: dict[str, bytes]
) -> NoReturn:
    code = 1
    try:
        extra = _place(fds)
        os.setsid()  # else kill(0, …) would reach the parent's process group
        if setup.mode == "namespaces":
            if not filters:
                _call("unshare", CLONE_NEWIPC)  # with filters no call reaches it
            if limits["files"]:
                _private_tmp(limits["files"])
        else:
            _landlock(setup.readable)
        if role == "run-native":
            resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))
        _limit(limits)
        _drop_capabilities()
        if filters:
            _filter(filters[FILTER_OF[role]])
        _fresh_streams()
        random.seed(0)  # the same program gets the same verdict twice
        code = ROLES[role](extra)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException as error:
        _print_error(error)
    finally:
        _leave(code)


def _leave(code: int) -> NoReturn:
    """Ends as an interpreter does (other threads finished, output written) without the cost of finalising."""
    with contextlib.suppress(BaseException):
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code & 0xFF)


def _print_error(error: BaseException) -> None:
    with contextlib.suppress(BaseException):
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        sys.stderr.write("".join(lines)[-4000:])


# --- roles: what a child does once it is confined; each gets its extra descriptors, returns an exit code ---


def _answer(fds: list[int]) -> int:
    job, requests, replies = fds
    with contextlib.suppress(frames.Closed):
        program = json.loads(_read_all(job))
        answering.answer(program["sources"], program["entry_point"], requests, replies)
    return 0


def _examine(fds: list[int]) -> int:
    job, requests, replies, verdict = fds
    examining.examine(json.loads(_read_all(job)), requests, replies, verdict)
    return 0


def _run_python(fds: list[int]) -> int:
    job = json.loads(_read_all(fds[0]))
    code = answering.compile_first(job["sources"], "", job["prose_follows"])
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(code, module.__dict__)
    except SystemExit:
        if not job["any_exit"]:
            raise
    return 0


def _compile(fds: list[int]) -> int:
    job, binary = fds
    with open("main.cpp", "wb") as file:
        file.write(_read_all(job))
    import subprocess  # brings threading

    command = ["/usr/bin/g++", "-std=c++17", "-O2", "-pipe", "-o", "main", "main.cpp"]
    code = subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode
    if code == 0:
        with open("main", "rb") as file, open(binary, "wb") as out:
            out.write(file.read())
    return code


def _run_native(fds: list[int]) -> int:
    with open("program", "wb") as file:
        file.write(_read_all(fds[0]))
    os.chmod("program", 0o700)
    os.execve("program", ["program"], {})


ROLES: dict[str, Callable[[list[int]], int]] = {
    "answer": _answer,
    "examine": _examine,
    "run-python": _run_python,
    "compile": _compile,
    "run-native": _run_native,
}
FILTER_OF = {
    "answer": "python",
    "examine": "python",
    "run-python": "python",
    "compile": "compiler",
    "run-native": "native",
}


def _read_all(fd: int) -> bytes:
    """A whole file, from its start; the descriptor is closed."""
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read()


# --- confinement -------------------------------------------------------------------------------------------


def _place(fds: list[int]) -> list[int]:
    """Moves ``fds`` to 0, 1, 2, …, closes every other descriptor, and returns those from 3 on."""
    high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]  # out of the way of the targets
    for target, fd in enumerate(high):
        os.dup2(fd, target, inheritable=target < FIRST_EXTRA)
    os.closerange(len(fds), 1024)
    return list(range(FIRST_EXTRA, len(fds)))


def _private_tmp(files_bytes: int) -> None:
    """A mount namespace with a /tmp of its own; the rest of the file system is read-only already."""
    _call("unshare", CLONE_NEWNS)
    options = f"size={files_bytes},nr_inodes=1024,mode=700".encode()
    _call("mount", b"tmpfs", b"/tmp", b"tmpfs", MS_NOSUID | MS_NODEV, options)
    os.chdir("/tmp")


def _landlock(readable: list[str]) -> None:
    """Reading and executing beneath ``readable``, nothing else: no other file, no TCP, no signal outwards."""
    create, add_rule, restrict = 444, 445, 446  # the same numbers on every architecture
    version = _libc.syscall(create, None, 0, 1)
    every = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _libc.syscall(create, attributes, size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    execute, read_file, read_dir = 1, 4, 8
    for folder in readable:
        if os.path.isdir(folder):
            fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", execute | read_file | read_dir, fd)
            if _libc.syscall(add_rule, ruleset, 1, rule, 0):
                raise OSError(ctypes.get_errno(), f"landlock_add_rule: {folder}")
            os.close(fd)
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.syscall(restrict, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)
    os.chdir("/")


def _limit(limits: dict[str, int]) -> None:
    """Resource limits, hard ones. The parent is what ends a program in time; these bound what it takes."""
    for name, value in {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_CPU: limits["cpu"],
        resource.RLIMIT_FSIZE: limits["files"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: 64,  # counts threads too; without force where the parent is root
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }.items():
        resource.setrlimit(name, (value, value))


def _drop_capabilities() -> None:
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("capset", struct.pack("=Ii", CAPABILITY_VERSION_3, 0), struct.pack("=6I", *[0] * 6))


def _filter(program: bytes) -> None:
    """Installs a seccomp filter: an array of 8-byte BPF instructions."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)


def _fresh_streams() -> None:
    """New stdin, stdout and stderr over the descriptors as they are now, and the default for signals."""
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0)), "utf-8", "surrogateescape")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", "surrogateescape")
    errors = io.BufferedWriter(io.FileIO(2, "w"))
    sys.stderr = io.TextIOWrapper(errors, "utf-8", "backslashreplace", line_buffering=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _call(name: str, *args: object) -> None:
    if getattr(_libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")

"""Which isolation this machine offers, and the command line that starts a zygote in it.

Levels, best first:

* ``bubblewrap+seccomp``: namespaces of its own (files, processes, network, IPC, users), a list of admitted
  system calls, resource limits.
* ``bubblewrap``: the same without the list, where libseccomp or pyseccomp is missing.
* ``landlock+seccomp``: for containers that forbid namespaces. The system's folders can be read, nothing can
  be written, and the list of system calls leaves no socket, no second process and no signal. Python only.
* ``none``: nothing of these works. Nothing is run then.

Programs and tests have Python's standard library and numpy, which EvalPlus's tests import: that of this
process, read-only and on its own, where the interpreter inside has the same version; else the system's own
(apt install python3-numpy), if there is one.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evals.sandbox import seccomp

NOBODY = 65534
SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "/packages"  # where numpy's folders are inside
UID_INSIDE = "1000"  # not 0: a program that bubblewrap runs as 0 would regain capabilities on exec
# numpy's linear algebra would start a thread for each processor, and each takes address space.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Confinement:
    """One way of starting a zygote.

    ``user`` is who runs it, None for the calling user; ``numpy`` the folders of a numpy to be seen inside.
    """

    level: str
    python: str
    readable: tuple[str, ...]
    filters: dict[str, bytes]
    user: int | None
    numpy: tuple[str, ...] = ()

    @property
    def packages(self) -> str:
        """The folder inside that holds numpy's, "" where there is none."""
        if not self.numpy:
            return ""
        return str(Path(self.numpy[0]).parent) if self.mode == "landlock" else PACKAGES

    @property
    def mode(self) -> str:
        """What the zygote does for each child: "namespaces" or "landlock"."""
        return "landlock" if self.level.startswith("landlock") else "namespaces"

    def command(self, code: str) -> list[str]:
        """The command line that runs Python ``code`` in the sandbox.

        Not with -I, which ignores PYTHONHASHSEED: sets are to have the same order in every run.
        """
        python = [self.python, "-s", "-c", code]
        return python if self.mode == "landlock" else [*_bubblewrap(self.readable, self.numpy), *python]


def candidates() -> Iterator[Confinement]:
    """Everything worth trying on this machine, best first; whether one works only a start can tell."""
    if platform.system() != "Linux":  # what confines is the Linux kernel
        return
    filters = seccomp.filters()
    levels = []
    if shutil.which("bwrap"):
        levels.append("bubblewrap+seccomp" if filters else "bubblewrap")
    if filters:
        levels.append("landlock+seccomp")
    # As root, programs run as nobody: no file of root's is theirs, and limits per user count.
    users = [NOBODY, None] if os.geteuid() == 0 else [None]
    for level in levels:
        for user in users:
            if level.startswith("landlock") and user is None and os.geteuid() == 0:
                continue  # without namespaces root would be too much
            for python, prefix in _interpreters():
                readable = tuple(dict.fromkeys((*SYSTEM_FOLDERS, prefix)))
                # Without numpy where its folders are closed to ``user``: most programs do not ask for it.
                for numpy in dict.fromkeys((_numpy_for(python), ())):
                    yield Confinement(level, python, readable, filters, user, numpy)


def advice() -> str:
    """What to do where no candidate worked."""
    if platform.system() != "Linux":
        return "model-written code is only run on Linux: grade it there, in a Docker container or in WSL 2"
    missing = []
    if not shutil.which("bwrap"):
        missing.append("install bubblewrap (Debian, Ubuntu: apt install bubblewrap)")
    else:
        missing.append("allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)")
    if seccomp.library() is None:
        missing.append("install libseccomp (apt install libseccomp2; pip install pyseccomp)")
    return "model-written code is not run here without isolation: " + " and ".join(missing)


def _interpreters() -> list[tuple[str, str]]:
    """Interpreters (path, prefix) to run programs with: the system's, else the one that runs this process.

    The latter is usually under a home directory, where an unprivileged sandbox may not read it.
    """
    own = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    found = [(SYSTEM_PYTHON, "/usr")] if os.path.exists(SYSTEM_PYTHON) else []
    return [*found, (own, sys.base_prefix)]


def _numpy_for(python: str) -> tuple[str, ...]:
    """The folders of this process's numpy, if its compiled parts fit the interpreter ``python``."""
    spec = importlib.util.find_spec("numpy")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if spec is None or spec.origin is None or Path(python).resolve().name != version:
        return ()
    folder = Path(spec.origin).parent
    libraries = folder.with_name("numpy.libs")  # of a wheel, found by their place beside it
    return (str(folder), str(libraries)) if libraries.is_dir() else (str(folder),)


def _bubblewrap(readable: tuple[str, ...], numpy: tuple[str, ...]) -> list[str]:
    command = [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-user", "--uid", UID_INSIDE, "--gid", UID_INSIDE),
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--clearenv"),
        # SYS_ADMIN over its own namespaces only: the zygote makes new ones, every child drops it
        *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"),
    ]
    for name, value in {**ENVIRONMENT, "HOME": "/tmp"}.items():
        command += ["--setenv", name, value]
    for folder in readable:
        if os.path.islink(folder):  # merged /usr: /lib is usr/lib
            command += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            command += ["--ro-bind", folder, folder]
    for folder in numpy:
        command += ["--ro-bind", folder, f"{PACKAGES}/{Path(folder).name}"]
    for device in ("null", "zero", "urandom"):
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    return [*command, "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/"]

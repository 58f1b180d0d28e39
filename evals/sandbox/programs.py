"""What goes into the sandbox and what comes out: plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Language = Literal["python", "c++"]

Status = Literal[
    "passed",  # the exam's last test was reached; the script's every output was accepted
    "failed",  # a test failed, an output was not accepted
    "timeout",  # its seconds were up
    "memory",  # it ran out of its memory limit
    "output_limit",  # it wrote more than its output limit
    "crashed",  # it ended with an exit status other than 0, or on a signal
    "compile_error",  # the compiler refused it
    "sandbox_error",  # the sandbox or the question's own tests are at fault, not the program
]


@dataclass(frozen=True)
class Limits:
    """What one run of a program may take: seconds, MiB of address space, of output, of files.

    ``seconds`` are those that it computes or sleeps; while it waits for a busy processor none pass (see
    ``charge``). An exam's program may have to be loaded in fewer, ``loading``. Without files (0) there is no
    folder that it can write to.
    """

    seconds: float = 10.0
    memory_mib: int = 1024
    output_mib: int = 16
    files_mib: int = 16
    loading: float | None = None


@dataclass(frozen=True)
class Script:
    """A program that reads its input and prints its answer, run once for every input, each run from scratch.

    ``accept(i, output)`` is asked in the calling process after input ``i``; False ends the script as
    "failed". What it compares with never enters the sandbox.

    ``also`` are further readings of the response, tried in order where ``source`` does not compile; with
    ``prose_follows`` the beginning of one that does is a program too. With ``any_exit`` a program that leaves
    by ``sys.exit`` has ended well, whatever the code.
    """

    source: str
    inputs: tuple[str, ...]
    accept: Callable[[int, str], bool] | None = None
    language: Language = "python"
    limits: Limits = Limits()
    also: tuple[str, ...] = ()
    prose_follows: bool = False
    any_exit: bool = False


@dataclass(frozen=True)
class Exam:
    """A program whose functions a question's tests call from another process (see ``inside/examining.py``).

    ``sources`` are readings of one response: the first that compiles is the program. ``reference`` is
    trusted code whose names the tests may use, before any of the program's. The tests know the program's
    ``entry_point`` by its name and as ``candidate``.
    """

    sources: tuple[str, ...]
    entry_point: str
    tests: str
    setup: str = ""
    reference: str = ""
    limits: Limits = Limits()


Program = Script | Exam


@dataclass(frozen=True)
class Outcome:
    """How a program fared. ``outputs`` are a script's, one per input that was run; ``seconds`` is wall clock.

    ``detail`` says why in a line; ``stderr`` is the end of what the program wrote there. ``doubtful`` marks a
    timeout on a machine so busy that another try, with nothing beside it, may end otherwise. ``charged`` is
    what a timeout had been charged.
    """

    status: Status
    detail: str = ""
    outputs: tuple[str, ...] = ()
    stderr: str = ""
    seconds: float = 0.0
    doubtful: bool = False
    charged: float = 0.0

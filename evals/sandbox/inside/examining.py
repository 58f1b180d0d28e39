"""The trusted side of an exam: runs a question's tests on a program that lives in another process.

The tests see the program's functions as ``Remote`` objects. Calling one sends plain values over and gets a
plain value back (``codec``), so that every comparison is made here, between built-in types, by code that the
program cannot reach. A value that is not a plain one comes back as another ``Remote``: it can be called, have
attributes and be handed back as an argument, but it refuses to be compared or taken as true, so it decides
no test.

Names in the tests mean, in this order: what the question itself defines (its reference and set-up),
built-ins, modules of the standard library, and only then what the program defines.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from evals.sandbox.inside import changes, codec, frames

DETAIL = 300  # characters of an error or a test line that the verdict repeats
ENDS_LOOPS = (StopIteration, StopAsyncIteration, GeneratorExit)


class ProgramError(Exception):
    """The program raised an exception of a type that is not a built-in one."""


class ProgramEnded(BaseException):
    """The program's process is gone or talks nonsense; no handler in a test may swallow that."""


class Untestable(BaseException):
    """The tests want something of the program that cannot cross between processes."""


class Program:
    """The program in the other process."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self.calls = 0
        self.raised = ""  # the type name of the latest exception that came back

    def ask(self, *request: object) -> Any:
        """The reply's value; raises what the program raised, as the built-in exception of that name.

        What a call changed in its arguments is changed in the tests' own objects.
        """
        self.calls += request[0] == "call"
        try:
            frames.send(self._requests, codec.dumps(list(request), _handle))
        except frames.Closed as error:
            raise ProgramEnded(str(error)) from None
        return self.reply(list(request[2:]) if request[0] == "call" else [])

    def reply(self, arguments: list[Any]) -> Any:
        try:
            reply = codec.loads(frames.receive(self._replies), lambda body: Remote(self, body))
            length = {"value": 2, "error": 3}[reply[0]]
            if len(reply) > length:
                changes.apply(arguments, reply.pop())
            if len(reply) == length and reply[0] == "value":
                return reply[1]
            if [type(x) for x in reply] != [str] * 3:
                raise ValueError
        except (codec.CodecError, frames.Closed) as error:
            raise ProgramEnded(str(error)) from None
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise ProgramEnded("a reply that is none") from None
        self.raised = reply[1]
        raise _exception(reply[1], reply[2])


class Remote:
    """An object of the program. Its type there is ``_handle[1]``, for messages only."""

    __slots__ = ("_handle", "_program")

    def __init__(self, program: Program, handle: list[Any]) -> None:
        number, name = handle
        if type(number) is not int or type(name) is not str:
            raise codec.CodecError("a handle that is none")
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_handle", [number, name])

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self._program.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own protocols (copying, pickling): the object has none here
            raise AttributeError(name)
        return self._program.ask("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._program.ask("set", self, name, value)

    def __repr__(self) -> str:
        return f"<{self._handle[1]} of the program>"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"the program returned a {self._handle[1]}, which is not a plain value")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __bool__ = __hash__ = _refuse


def _handle(value: object) -> list[Any]:
    if isinstance(value, Remote):
        handle: list[Any] = value._handle
        return handle
    raise Untestable(f"the tests hand the program a {type(value).__name__}, which cannot cross")


def _exception(name: str, message: str) -> BaseException:
    """As the built-in of that name, unless a loop of the tests (``all(map(f, …))``) would end as if done."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, BaseException) and not issubclass(kind, ENDS_LOOPS):
        try:
            return kind(message)
        except TypeError:  # a few, such as UnicodeDecodeError, want more arguments
            pass
    return ProgramError(f"{name}: {message}")


def examine(job: dict[str, Any], requests: int, replies: int, verdict: int) -> None:
    """Runs the job's tests; writes a verdict, {"status", "detail", "raised"}, as a line to ``verdict``.

    ``job`` holds "reference", "setup", "tests" (sources) and "entry_point". Status "passed" is written
    after the last test and nowhere else; "failed" for what the program did; "error" where the question's
    own code is at fault. "raised" names the type of the latest exception in the program. Tests that call
    ``begin_test(seconds)`` allow as many until they call it again; the number is a line of its own.
    """
    program = Program(requests, replies)
    status, detail = _judge(program, job, lambda seconds: _write_line(verdict, str(float(seconds))))
    message = {"status": status, "detail": detail[:DETAIL], "raised": program.raised[:DETAIL]}
    _write_line(verdict, json.dumps(message))


def _write_line(fd: int, line: str) -> None:
    os.write(fd, line.encode() + b"\n")


def _judge(program: Program, job: dict[str, Any], begin_test: Callable[[float], None]) -> tuple[str, str]:
    try:
        namespace = {"begin_test": begin_test, **_own_names(job)}
    except BaseException as error:
        return "error", f"the question's own code fails: {_short(error)}"
    tests: dict[str, str] = {"setup": job["setup"], "tests": job["tests"]}
    try:
        program.reply([])
        namespace |= _remote_names(program, namespace, job)
        for name, source in tests.items():
            exec(compile(source, name, "exec", dont_inherit=True), namespace)
    except Untestable as error:
        return "error", str(error)
    except BaseException as error:
        return "failed", _where(error, tests) + _short(error)
    return ("passed", "") if program.calls else ("error", "the tests never call the program")


def _own_names(job: dict[str, Any]) -> dict[str, Any]:
    """The names that the tests take from trusted code: the reference's, and modules they forgot to import."""
    namespace: dict[str, Any] = {"__name__": "tests"}
    exec(compile(job["reference"], "reference", "exec", dont_inherit=True), namespace)
    for name in _free_names(job) - set(namespace):
        if name in sys.stdlib_module_names:
            namespace[name] = importlib.import_module(name)
    return namespace


def _remote_names(program: Program, own: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """What the tests take from the program; ``candidate`` is its entry point, as in HumanEval's tests."""
    entry_point = job["entry_point"]
    wanted = _free_names(job) - set(own) | {entry_point}
    found: dict[str, Any] = program.ask("names", sorted(wanted))
    if not isinstance(found, dict) or entry_point not in found:
        raise NameError(f"the program does not define {entry_point}")
    names = {name: value for name, value in found.items() if name in wanted and name not in own}
    return {**names, "candidate": found[entry_point]}


def _free_names(job: dict[str, Any]) -> set[str]:
    """Names that the set-up and the tests read and no built-in answers to."""
    tree = ast.parse(job["setup"] + "\n" + job["tests"])
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return names - set(dir(builtins)) - {"candidate"}


def _where(error: BaseException, tests: dict[str, str]) -> str:
    """The test line that an exception came from, as text: "test: assert f(1) == 2; "."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in tests and frame.lineno:
            line = tests[frame.filename].splitlines()[frame.lineno - 1].strip()
            return f"test: {line[: DETAIL // 2]}; "
    return ""


def _short(error: BaseException) -> str:
    if isinstance(error, ProgramEnded):
        return f"the program ended: {error}"
    return f"{type(error).__name__}: {error}"[:DETAIL].rstrip(": ")

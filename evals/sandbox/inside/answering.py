"""The untrusted side of an exam: loads the program and calls its functions when asked.

This code shares its process with the program, which may do anything to it. Nothing is lost by that: no
test, no expected value and no verdict is ever here. Requests and replies are messages (``frames``) of plain
values (``codec``):

    ["names", [name, …]]              → {name: value}, of those that the program defines
    ["call", object, args, kwargs]    → what it returned
    ["get", object, name]             → its attribute
    ["set", object, name, value]      → None

A reply is ["value", x] or ["error", type name, message]; what a call changed in its arguments follows, if
anything (``changes``). The first reply, unasked, tells how loading went.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from evals.sandbox.inside import changes, codec, frames


class _Objects:
    """What the tests hold handles of, by number."""

    def __init__(self) -> None:
        self._kept: list[object] = []

    def handle(self, value: object) -> list[Any]:
        self._kept.append(value)
        return [len(self._kept) - 1, type(value).__name__[:80]]

    def resolve(self, body: list[Any]) -> object:
        return self._kept[body[0]]


def answer(sources: list[str], entry_point: str, requests: int, replies: int) -> None:
    """Loads the program (see ``compile_first``), then serves requests until the pipe closes."""
    objects = _Objects()
    module = types.ModuleType("solution")
    sys.modules["solution"] = module  # dataclasses and pickle look a class's module up
    try:
        exec(compile_first(sources, entry_point, prose_follows=True), module.__dict__)
        reply: list[Any] = ["value", None]
    except BaseException as error:
        reply = _error(error)
    frames.send(replies, codec.dumps(reply, objects.handle))
    while True:
        request = codec.loads(frames.receive(requests), objects.resolve)
        arguments = changes.Arguments(request[2:] if request[0] == "call" else None)
        try:
            reply = ["value", _serve(module, request)]
        except BaseException as error:
            reply = _error(error)
        try:
            data = codec.dumps([*reply, *filter(None, [arguments.changes()])], objects.handle)
        except BaseException as error:
            data = codec.dumps(_error(error), objects.handle)
        frames.send(replies, data)


def compile_first(sources: list[str], entry_point: str, prose_follows: bool) -> types.CodeType:
    """The first source that compiles and defines ``entry_point``, or else a beginning of one that does.

    Models write on after a program, in prose: with ``prose_follows`` a source is cut before the unindented
    line where the parser gives up, until the rest compiles. Failing all that, the first thing that compiles.
    Without an entry point ("") whatever compiles will do.

    Raises:
        SyntaxError: that of the first source, where nothing compiles.
    """
    codes: list[types.CodeType] = []
    errors: list[tuple[str, SyntaxError]] = []
    for source in sources:
        result = _compile(source)
        if isinstance(result, SyntaxError):
            errors.append((source, result))
        else:
            codes.append(result)
    if prose_follows:
        codes += [code for source, error in errors if (code := _longest_beginning(source, error))]
    if not codes:
        raise errors[0][1]
    return next((code for code in codes if not entry_point or entry_point in code.co_names), codes[0])


def _compile(source: str) -> types.CodeType | SyntaxError:
    try:
        # Without this file's own imports from __future__, which would be the program's too.
        return compile(source, "solution.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error
    except ValueError as error:  # a null byte
        return SyntaxError(str(error))


def _longest_beginning(source: str, error: SyntaxError) -> types.CodeType | None:
    lines = source.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if number and line[:1].strip()]
    result: types.CodeType | SyntaxError = error
    while starts and isinstance(result, SyntaxError):
        limit = result.lineno or len(lines)
        while starts and starts[-1] >= limit:
            starts.pop()
        if starts:
            result = _compile("".join(lines[: starts.pop()]))
    return None if isinstance(result, SyntaxError) else result


def _serve(module: types.ModuleType, request: list[Any]) -> object:
    kind, *rest = request
    if kind == "names":
        return {name: vars(module)[name] for name in rest[0] if name in vars(module)}
    if kind == "call":
        return rest[0](*rest[1], **rest[2])
    if kind == "get":
        return getattr(rest[0], rest[1])
    setattr(rest[0], rest[1], rest[2])
    return None


def _error(error: BaseException) -> list[Any]:
    try:
        message = str(error)[:500]
    except BaseException:
        message = ""
    return ["error", type(error).__name__[:80], message]

"""Which program a response contains: the text only, never parsed or run in this process.

Only what follows the reasoning and stands before the first end-of-turn token counts, and within it the last
``<answer>``, if any; such marks in a string or a comment of the program are none. Then:

* function style: the last block that defines the entry point, else the unfenced text before the blocks or
  without any, if it defines it; else, where the question gave the beginning of a program, the last block or
  the text as its completion. Where a method of a class is asked for, a bare function of its name will do;
* stdin style: the last block that reads input, else the last that is a program at all; else the text, from
  its first line of code on.

Blocks that are marked as a shell's, as output, data or prose, and transcripts of a console are no programs.
A program that the end of the response cut counts as far as it goes, unless the length limit cut it and an
earlier block, ``<answer>`` or ``[BEGIN]`` is whole; where it is not known to be cut, an earlier block, or the
text before the blocks, is a further reading for the case that it does not compile. Helpers and imports that
the chosen block lacks are taken from the blocks before it.

A response can be read in more than one way (prose around a function, a completion without its indentation):
``Extracted.sources`` are the readings in order, and the sandbox takes the first that compiles.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evals.graders.code_looks import (
    CODE_LINE,
    CPP,
    GIVES,
    NAME,
    NO_CODE,
    OTHER_LANGUAGES,
    READS,
    STUB,
    TRANSCRIPT,
)
from evals.graders.code_said import first_answer, what_is_said
from evals.graders.fences import Block, blocks
from evals.sandbox.programs import Language

BRIDGE = """\
class {name}:
    def {method}(self, *args):
        return globals()[{method!r}](*args)
"""
"""Stands before a bare function where a method is asked for."""
READINGS = 8
"""At most so many lines of a text without fences are tried as the first line of its program."""
HELPERS = 16
"""In so many blocks before a program its helpers are looked for."""


_DEFINED = re.compile(rf"^(?:(?:async[ ]+)?def|class)[ ]+({NAME})|^([A-Z][A-Z\d_]*)[ ]*=[^=]", re.MULTILINE)
_IMPORTED = re.compile(r"^(?:from[ ]+[\w.]+[ ]+)?import[ ]+([^\n#(]+)", re.MULTILINE)

_BLANK = re.compile(r"[ \t\r]*(?:#[^\n]*)?\n")
_FUTURE = re.compile(r"from[ \t]+__future__[ \t]+import[ \t]*(?:\([^)]*\)[^\n]*|(?:\\\r?\n|[^\n])*)(?:\n|\Z)")
_DOCTEXT = re.compile(
    r"[rRuU]?(?:'''(?:(?!''').)*'''|\"\"\"(?:(?!\"\"\").)*\"\"\"|'[^'\n]*'|\"[^\"\n]*\")[ \t]*(?:#[^\n]*)?\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Extracted:
    """A program found in a response: how to read it, the text itself (for reports), its language.

    ``prose_follows``: the program has no certain end; where the text does not compile, what follows it may
    be prose.
    """

    sources: tuple[str, ...]
    text: str
    language: Language = "python"
    prose_follows: bool = False


def extract_function(
    response: str, entry_point: str, prompt: str, truncated: bool = False, unclosed_answers: bool = True
) -> Extracted | None:
    """The program of a response that should define ``entry_point``, or None if there is no trace of one.

    ``prompt`` is the beginning of a program that the question gave, ending inside the function; what stands
    in it before the function (imports, helpers) is put before a whole function too. ``truncated`` says that
    the length limit cut the response. ``unclosed_answers``: as in ``reading.read``.
    """
    said = what_is_said(response, truncated, unclosed_answers)
    definition = _definition(entry_point)
    preamble = _preamble(prompt, definition)
    before = first_answer(said)  # where it has no definition, what looked like a further question is none
    found = _defining(before, definition, preamble, truncated) if before != said else None
    found = found or _defining(said, definition, preamble, truncated)
    if found is None and (method := _method(prompt, entry_point)):
        bare = re.compile(rf"^(?:async[ \t]+)?def[ \t]+{method}\b|^{method}[ \t]*=[^=]", re.MULTILINE)
        found = _defining(said, bare, preamble + BRIDGE.format(name=entry_point, method=method), truncated)
    return found or _completing(said, prompt)


def extract_script(
    response: str,
    truncated: bool = False,
    languages: Sequence[Language] = ("python", "c++"),
    unclosed_answers: bool = True,
) -> Extracted | None:
    """The program of a response that should read its input and print, or None if there is no trace of one.

    Blocks in a language that is not among ``languages`` are passed over.
    """
    said = first_answer(what_is_said(response, truncated, unclosed_answers))
    tried = [_script_blocks(said, docstrings, truncated, languages) for docstrings in (True, False)]
    found = [choices[0] for choices in tried if choices] + [one for choices in tried for one in choices[1:]]
    if found:
        sources = tuple(dict.fromkeys(textwrap.dedent(block.text) for block in found))
        language = _language(found[0])
        return Extracted(sources, sources[0], language, prose_follows=not (found[0].closed or truncated))
    head = blocks(said)[0]
    text = head if CODE_LINE.search(head) else said
    readings = _readings(text)
    if not readings:
        return None
    return Extracted(readings, text, "c++" if "#include" in text else "python", not truncated)


def with_preamble(preamble: str, source: str) -> str:
    """``source`` behind ``preamble``, but for what must come first: its imports from ``__future__``."""
    place = _after_future_imports(source) if "__future__" in source else 0
    return source[:place] + preamble + source[place:]


# --- functions ---------------------------------------------------------------------------------------------


def _definition(entry_point: str) -> re.Pattern[str]:
    name = re.escape(entry_point)
    return re.compile(
        rf"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^[ \t]*{name}[ \t]*(?::[^=\n]+)?=[^=]",
        re.MULTILINE,
    )


def _preamble(prompt: str, definition: re.Pattern[str]) -> str:
    found = definition.search(prompt)
    return prompt[: found.start()] if found else ""


def _method(prompt: str, entry_point: str) -> str | None:
    """The method that the prompt begins, where its entry point is a class."""
    _, opened, body = prompt.rpartition(f"class {entry_point}")
    methods = re.findall(r"^[ \t]+def[ \t]+(\w+)", body, re.MULTILINE) if opened else []
    return methods[-1] if methods else None


def _defining(said: str, definition: re.Pattern[str], preamble: str, truncated: bool) -> Extracted | None:
    """The last block with the definition, or the text around the blocks."""
    found: list[str] = []
    instead: list[str] = []
    for docstrings in (True, False):
        head, fenced = blocks(said, docstrings)
        programs = _programs(fenced, ("python",), definition)
        defining = [number for number, block in enumerate(programs) if definition.search(block.text)]
        defining = [number for number in defining if not STUB.fullmatch(programs[number].text)] or defining
        if defining:
            first, *others = _choices(programs, defining, truncated)
            found.append(_with_helpers(programs, first, definition))
            instead += [_with_helpers(programs, number, definition) for number in others]
            if definition.search(head) and not any(programs[number].closed for number in defining):
                instead += _readings(head)
    if found:
        readings = dict.fromkeys(with_preamble(preamble, textwrap.dedent(text)) for text in found + instead)
        return Extracted(tuple(readings), found[0])
    head, fenced = blocks(said)
    for text in (head, said.rpartition("```")[2]) if fenced else (said,):
        if definition.search(text):
            return Extracted(tuple(with_preamble(preamble, each) for each in _readings(text)), text)
    return None


def _completing(said: str, prompt: str) -> Extracted | None:
    """The text that continues the prompt; without a prompt, whatever block there is."""
    head, fenced = blocks(said)
    programs = _programs(fenced, ("python",))
    giving = [block.text for block in programs if GIVES.search(block.text)] or [b.text for b in programs]
    first = next((line for line in head.split("\n") if line.strip()), "")
    goes_on = bool(prompt) and (first[:1].isspace() or bool(CODE_LINE.match(first)))
    text = said if not fenced else head if goes_on or not giving else giving[-1]
    if prompt and text.strip():
        return Extracted(_completions(prompt, text), text)
    return Extracted((textwrap.dedent(text),), text) if giving and text.strip() else None


def _completions(prompt: str, text: str) -> tuple[str, ...]:
    """Readings of a text that continues the prompt; its indentation may be lost in part."""
    plain = prompt + text
    lines = text.lstrip("\n")
    return (plain, prompt + "    " + lines, prompt + textwrap.indent(textwrap.dedent(lines), "    "))


# --- scripts -----------------------------------------------------------------------------------------------


def _script_blocks(
    said: str, docstrings: bool, truncated: bool, languages: Sequence[Language]
) -> list[Block]:
    """The block that is the program, before what to read in its place where it does not compile.

    Empty where there is none or the program stands before all blocks.
    """
    head, fenced = blocks(said, docstrings)
    programs = _programs(fenced, languages, READS)
    programs = [b for b in programs if b.tag or CODE_LINE.search(b.text) or _language(b) == "c++"]
    reading = [number for number, block in enumerate(programs) if READS.search(block.text)]
    if not programs or (not reading and READS.search(head) and CODE_LINE.search(head)):
        return []
    first, *others = _choices(programs, reading or list(range(len(programs))), truncated)
    language = _language(programs[first])  # one program has one language
    numbers = [first, *(number for number in others if _language(programs[number]) == language)]
    if language != "python":
        return [programs[number] for number in numbers]
    return [_script(programs, number) for number in numbers]


def _script(programs: Sequence[Block], number: int) -> Block:
    """The numbered block behind the helpers before it."""
    chosen = programs[number]
    earlier = [block for block in programs[:number] if not READS.search(block.text)]
    return replace(chosen, text=_with_helpers([*earlier, chosen], len(earlier), READS))


# --- blocks and readings -----------------------------------------------------------------------------------


def _programs(
    found: Sequence[Block], languages: Sequence[Language], wanted: re.Pattern[str] | None = None
) -> list[Block]:
    """The blocks that may be programs; where none is, those marked as text in which ``wanted`` is found."""
    whole = [block for block in found if block.text.strip() and not TRANSCRIPT.match(block.text)]
    whole = [b for b in whole if b.tag not in OTHER_LANGUAGES.split() and _language(b) in languages]
    programs = [block for block in whole if block.tag not in NO_CODE.split()]
    if wanted is None or any(wanted.search(block.text) for block in programs):
        return programs
    likely = [b for b in whole if wanted.search(b.text) and CODE_LINE.search(b.text)]
    return likely or programs


def _language(block: Block) -> Language:
    untagged = not block.tag and re.search(r"^[ \t]*#include\b", block.text, re.MULTILINE)
    return "c++" if block.tag in CPP or untagged else "python"


def _choices(programs: Sequence[Block], numbers: Sequence[int], truncated: bool) -> list[int]:
    """Which of the numbered blocks to read: the last, and where it is not closed the last that is.

    That one alone, where the length limit cut the response: what it cut is known not to be whole.
    """
    last, closed = numbers[-1], [number for number in numbers if programs[number].closed]
    if programs[last].closed or not closed:
        return [last]
    return [closed[-1]] if truncated else [last, closed[-1]]


def _with_helpers(programs: Sequence[Block], number: int, whole: re.Pattern[str]) -> str:
    """The numbered block, behind earlier ones that define what it uses and lacks.

    A block in which ``whole`` is found is no helper but an earlier try.
    """
    text = programs[number].text
    for block in reversed(programs[max(0, number - HELPERS) : number]):
        if whole.search(block.text) or not block.closed:
            continue
        lacks = _names(block.text) - _names(text)
        if any(re.search(rf"(?<![.\w]){name}\b", text) for name in lacks):
            text = f"{textwrap.dedent(block.text)}\n{textwrap.dedent(text)}"
    return text


def _names(code: str) -> set[str]:
    """What the code defines or imports at its outermost level, as far as one sees."""
    code = textwrap.dedent(code)
    names = {name for pair in _DEFINED.findall(code) for name in pair if name}
    for imported in _IMPORTED.findall(code):
        names |= {part.split()[-1].split(".")[0] for part in imported.split(",") if part.split()}
    return {name for name in names if name.isidentifier()}


def _readings(text: str) -> tuple[str, ...]:
    """A text with a program in it, from each line on that may be the program's first, and as a whole.

    Empty where no line looks like code.
    """
    text = textwrap.dedent(text)
    readings: list[str] = []
    before, place = "", 0
    for line in text.splitlines(keepends=True):
        if not line[:1].isspace() and CODE_LINE.match(line) and not CODE_LINE.match(before):
            readings.append(text[place:])
        before, place = line, place + len(line)
        if len(readings) == READINGS:
            break
    return tuple(dict.fromkeys([*readings, text])) if readings or CODE_LINE.search(text) else ()


def _after_future_imports(source: str) -> int:
    """Where the imports from ``__future__`` end that stand where the language wants them; 0 without any."""
    place = end = 0
    docstring = False
    while True:
        if blank := _BLANK.match(source, place):
            place = blank.end()
        elif future := _FUTURE.match(source, place):
            place = end = future.end()
        elif not docstring and (text := _DOCTEXT.match(source, place)):
            place, docstring = text.end(), True
        else:
            return end

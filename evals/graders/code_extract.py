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
from itertools import islice

from evals.graders.fences import Block, blocks
from evals.graders.reading import read
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

_ANSWER = re.compile(r"<answer>(.*?)(</answer>|\Z)", re.DOTALL)
_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|return|im_start|start_header_id)\|>"
    r"|<[｜|]end[▁_]of[▁_]sentence[｜|]>|<(?:end_of_turn|eos|start_of_turn)>|</s>"
)
_NEXT_QUESTION = re.compile(
    r"^(?:\*\*|#{1,4}[ \t])?(?:Question|Q|Human|User|Instruction)(?: \d{1,4})?:", re.MULTILINE
)
_MARK = re.compile(r"</?(?:think|answer)>|" + _END.pattern)
_HIDDEN = "\ue000"  # stands for the first character of a mark that is none
_IN_CODE = ("'", '"', "#", ")", "]", "}", ",", ">>>")  # what a line of code may begin with, besides
_STRING = re.compile(
    r"'[^'\\\n]*(?:\\.[^'\\\n]*)*(?:'|\\?$)|\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*(?:\"|\\?$)|#[^\n]*"
)
_DOCSTRING = re.compile(r"('''|\"\"\")(?:(?!\n[ \t]*```).)*?\1", re.DOTALL)

_NAME = r"[^\W\d]\w*"
_CODE_LINE = re.compile(
    rf"""^[ \t]*(?:
      import[ ]+{_NAME}[\w., ]*;?(?:\#.*)?$ | from[ ]+[\w.]+[ ]+import\b
    | (?:async[ ]+)?def[ ]+{_NAME}[ ]*\( | class[ ]+{_NAME}[ ]*[(:] | @{_NAME}[\w.]*(?:\(.*)?$
    | (?:async[ ]+)?(?:if|elif|while|for|with)\b.*: | (?:try|else|finally)[ ]*:
    | (?:return|yield|raise|assert|del|global|nonlocal)\b(?!.*[.!?]$) | (?:pass|break|continue);?[ ]*$
    | {_NAME}(?:\.\w+|\[[^\]\n]*\])*(?:[ ]*,[ ]*\*?{_NAME}(?:\[[^\]\n]*\])?)*
      [ ]*(?:[-+*/%&|^]|//|\*\*|<<|>>)?=[^=]
    | {_NAME}(?:\.\w+)*\(.*[)(,\[{{;][ \t]*(?:\#.*)?$ | \#include\b | \#! | \"\"\" | \'\'\'
    )""",
    re.MULTILINE | re.VERBOSE,
)
_READS = re.compile(
    r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0|/dev/stdin|\bfileinput\b|\bos\.read\b"
    r"|\bcin\b|\bscanf\b|\bgetline\b|\bgetchar|\bfread\b"
)
_GIVES = re.compile(r"\b(?:return|yield|pass|raise)\b")
# A block that only shows a signature.
_STUB = re.compile(
    r"\s*(?:async[ ]+)?def[ ]+\w+[ ]*\([^\n]*:\s*(?:(?:'{3}(?:(?!'{3}).)*'{3}"
    r"|\"{3}(?:(?!\"{3}).)*\"{3})\s*)?(?:#[^\n]*\s*)?"
    r"(?:\.\.\.|pass)?\s*",
    re.DOTALL,
)
_TRANSCRIPT = re.compile(r"\s*(?:>>>|In \[\d+\]:|\$ )")
_DEFINED = re.compile(rf"^(?:(?:async[ ]+)?def|class)[ ]+({_NAME})|^([A-Z][A-Z\d_]*)[ ]*=[^=]", re.MULTILINE)
_IMPORTED = re.compile(r"^(?:from[ ]+[\w.]+[ ]+)?import[ ]+([^\n#(]+)", re.MULTILINE)

_BYTE_ORDER = re.compile(r"^[\ufeff\u200b]+", re.MULTILINE)
_BLANK = re.compile(r"[ \t\r]*(?:#[^\n]*)?\n")
_FUTURE = re.compile(r"from[ \t]+__future__[ \t]+import[ \t]*(?:\([^)]*\)[^\n]*|(?:\\\r?\n|[^\n])*)(?:\n|\Z)")
_DOCTEXT = re.compile(
    r"[rRuU]?(?:'''(?:(?!''').)*'''|\"\"\"(?:(?!\"\"\").)*\"\"\"|'[^'\n]*'|\"[^\"\n]*\")[ \t]*(?:#[^\n]*)?\n",
    re.DOTALL,
)

_CPP = {"c", "cpp", "c++", "cc", "cxx", "c++17", "c++20", "cpp17", "cpp20"}
_NO_CODE = """
    bash sh shell shell-session zsh fish console terminal cmd bat batch powershell ps1 pycon python-repl
    text txt plain plaintext output out stdout stdin input result results log none raw
    markdown md json jsonl yaml yml toml ini csv tsv xml html css sql diff patch latex tex math mermaid dot
"""
_OTHER_LANGUAGES = """
    java javascript js typescript ts csharp cs go golang rust rs ruby rb kotlin scala swift php perl r
    haskell hs julia lua dart matlab pascal fortran objective-c asm pseudo pseudocode
"""


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
    said = _said(response, truncated, unclosed_answers)
    definition = _definition(entry_point)
    preamble = _preamble(prompt, definition)
    found = _defining(said, definition, preamble, truncated)
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
    said = _first_answer(_said(response, truncated, unclosed_answers))
    tried = [_script_blocks(said, docstrings, truncated, languages) for docstrings in (True, False)]
    found = [choices[0] for choices in tried if choices] + [one for choices in tried for one in choices[1:]]
    if found:
        sources = tuple(dict.fromkeys(textwrap.dedent(block.text) for block in found))
        language = _language(found[0])
        return Extracted(sources, sources[0], language, prose_follows=not (found[0].closed or truncated))
    head = blocks(said)[0]
    text = head if _CODE_LINE.search(head) else said
    readings = _readings(text)
    if not readings:
        return None
    return Extracted(readings, text, "c++" if "#include" in text else "python", not truncated)


def with_preamble(preamble: str, source: str) -> str:
    """``source`` behind ``preamble``, but for what must come first: its imports from ``__future__``."""
    place = _after_future_imports(source) if "__future__" in source else 0
    return source[:place] + preamble + source[place:]


# --- what counts of a response -----------------------------------------------------------------------------


def _said(response: str, truncated: bool, unclosed_answers: bool) -> str:
    """What counts of a response: after the reasoning, in the last answer tags; "" where it never ends."""
    text = _hide_marks(_BYTE_ORDER.sub("", response.replace("\r\n", "\n")))
    said = read(text, truncated, unclosed_answers, further_questions=True).said or ""
    answers = _ANSWER.findall(said)
    if answers:
        said = _last_ended(answers, truncated)
    marked = [piece.partition("[DONE]")[:2] for piece in said.split("[BEGIN]")]  # MBPP's few-shot prompt
    said = _last_ended(marked[1:] or marked, truncated)
    return _unquoted(_fence_apart(said.replace(_HIDDEN, "<")))


def _last_ended(pieces: Sequence[tuple[str, str]], truncated: bool) -> str:
    """The text of the last (text, what ended it); where the length limit cut it, of the last that ended."""
    ended = [piece for piece in pieces if piece[1]]
    return (ended if truncated and ended else pieces)[-1][0]


def _hide_marks(text: str) -> str:
    """``text`` with another first character in the marks that a program holds in its strings and comments.

    A tag that is alone on its line is always a tag, and so are they all where none would be left to end the
    reasoning.
    """
    if not _MARK.search(text):
        return text
    hidden = _DOCSTRING.sub(lambda match: _hide(match[0]), text)
    lines = hidden.split("\n")
    for number, line in enumerate(lines):
        if _MARK.search(line) and (_CODE_LINE.match(line) or line.lstrip().startswith(_IN_CODE)):
            lines[number] = _STRING.sub(_hide_in_line, line)
    hidden = "\n".join(lines)
    lost = "</think>" in text and "</think>" not in hidden and "<think>" in hidden
    return text if lost else hidden


def _hide_in_line(code: re.Match[str]) -> str:
    whole = code[0][0] in ("#", code[0][-1])  # else a quotation mark that nothing closes
    return _MARK.sub(_hidden, code[0]) if whole else code[0]


def _hide(docstring: str) -> str:
    lines = docstring.split("\n")
    return "\n".join(line if _MARK.fullmatch(line.strip()) else _MARK.sub(_hidden, line) for line in lines)


def _hidden(mark: re.Match[str]) -> str:
    return _HIDDEN + mark[0][1:]


def _fence_apart(text: str) -> str:
    """``text`` with its only fence on a line of its own, where it is glued to the end of another."""
    before, fence, after = text.partition("```")
    glued = (
        fence
        and before.rpartition("\n")[2].strip()
        and "```" not in after
        and not after.partition("\n")[0].strip()
    )
    return f"{before}\n{fence}{after}" if glued else text


def _unquoted(text: str) -> str:
    """``text`` without the marks of a quotation, where all of it is quoted."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not all(line.startswith(">") and not line.startswith(">>>") for line in lines):
        return text
    return re.sub(r"^> ?", "", text, flags=re.MULTILINE)


def _first_answer(said: str) -> str:
    """What stands before a further question that the model asks itself, behind a block that is whole."""
    for question in islice(_NEXT_QUESTION.finditer(said), 3):
        before = said[: question.start()]
        found = blocks(before)[1]
        if found and found[-1].closed:
            return before
    return said


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
        defining = [number for number in defining if not _STUB.fullmatch(programs[number].text)] or defining
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
    """The text that goes on where the prompt stopped; without a prompt, whatever block there is."""
    head, fenced = blocks(said)
    programs = _programs(fenced, ("python",))
    giving = [block.text for block in programs if _GIVES.search(block.text)] or [b.text for b in programs]
    first = next((line for line in head.split("\n") if line.strip()), "")
    goes_on = bool(prompt) and (first[:1].isspace() or bool(_CODE_LINE.match(first)))
    text = said if not fenced else head if goes_on or not giving else giving[-1]
    if prompt and text.strip():
        return Extracted(_completions(prompt, text), text)
    return Extracted((textwrap.dedent(text),), text) if giving and text.strip() else None


def _completions(prompt: str, text: str) -> tuple[str, ...]:
    """Readings of a text that goes on where the prompt stopped; its indentation may be lost in part."""
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
    programs = _programs(fenced, languages, _READS)
    programs = [b for b in programs if b.tag or _CODE_LINE.search(b.text) or _language(b) == "c++"]
    reading = [number for number, block in enumerate(programs) if _READS.search(block.text)]
    if not programs or (not reading and _READS.search(head) and _CODE_LINE.search(head)):
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
    earlier = [block for block in programs[:number] if not _READS.search(block.text)]
    return replace(chosen, text=_with_helpers([*earlier, chosen], len(earlier), _READS))


# --- blocks and readings -----------------------------------------------------------------------------------


def _programs(
    found: Sequence[Block], languages: Sequence[Language], wanted: re.Pattern[str] | None = None
) -> list[Block]:
    """The blocks that may be programs; where none is, those marked as text in which ``wanted`` is found."""
    whole = [block for block in found if block.text.strip() and not _TRANSCRIPT.match(block.text)]
    whole = [b for b in whole if b.tag not in _OTHER_LANGUAGES.split() and _language(b) in languages]
    programs = [block for block in whole if block.tag not in _NO_CODE.split()]
    if wanted is None or any(wanted.search(block.text) for block in programs):
        return programs
    likely = [b for b in whole if wanted.search(b.text) and _CODE_LINE.search(b.text)]
    return likely or programs


def _language(block: Block) -> Language:
    untagged = not block.tag and re.search(r"^[ \t]*#include\b", block.text, re.MULTILINE)
    return "c++" if block.tag in _CPP or untagged else "python"


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
        if not line[:1].isspace() and _CODE_LINE.match(line) and not _CODE_LINE.match(before):
            readings.append(text[place:])
        before, place = line, place + len(line)
        if len(readings) == READINGS:
            break
    return tuple(dict.fromkeys([*readings, text])) if readings or _CODE_LINE.search(text) else ()


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

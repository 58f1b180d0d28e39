"""What a line of code looks like, and which tags of a fence mark no program."""

from __future__ import annotations

import re

NAME = r"[^\W\d]\w*"
CODE_LINE = re.compile(
    rf"""^[ \t]*(?:
      import[ ]+{NAME}[\w., ]*;?(?:\#.*)?$ | from[ ]+[\w.]+[ ]+import\b
    | (?:async[ ]+)?def[ ]+{NAME}[ ]*\( | class[ ]+{NAME}[ ]*[(:] | @{NAME}[\w.]*(?:\(.*)?$
    | (?:async[ ]+)?(?:if|elif|while|for|with)\b.*: | (?:try|else|finally)[ ]*:
    | (?:return|yield|raise|assert|del|global|nonlocal)\b(?!.*[.!?]$) | (?:pass|break|continue);?[ ]*$
    | {NAME}(?:\.\w+|\[[^\]\n]*\])*(?:[ ]*,[ ]*\*?{NAME}(?:\[[^\]\n]*\])?)*
      [ ]*(?:[-+*/%&|^]|//|\*\*|<<|>>)?=[^=]
    | {NAME}(?:\.\w+)*\(.*[)(,\[{{;][ \t]*(?:\#.*)?$ | \#include\b | \#! | \"\"\" | \'\'\'
    )""",
    re.MULTILINE | re.VERBOSE,
)
READS = re.compile(
    r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0|/dev/stdin|\bfileinput\b|\bos\.read\b"
    r"|\bcin\b|\bscanf\b|\bgetline\b|\bgetchar|\bfread\b"
)
GIVES = re.compile(r"\b(?:return|yield|pass|raise)\b")
# A block that only shows a signature.
STUB = re.compile(
    r"\s*(?:async[ ]+)?def[ ]+\w+[ ]*\([^\n]*:\s*(?:(?:'{3}(?:(?!'{3}).)*'{3}"
    r"|\"{3}(?:(?!\"{3}).)*\"{3})\s*)?(?:#[^\n]*\s*)?"
    r"(?:\.\.\.|pass)?\s*",
    re.DOTALL,
)
TRANSCRIPT = re.compile(r"\s*(?:>>>|In \[\d+\]:|\$ )")
CPP = {"c", "cpp", "c++", "cc", "cxx", "c++17", "c++20", "cpp17", "cpp20"}
NO_CODE = """
    bash sh shell shell-session zsh fish console terminal cmd bat batch powershell ps1 pycon python-repl
    text txt plain plaintext output out stdout stdin input result results log none raw
    markdown md json jsonl yaml yml toml ini csv tsv xml html css sql diff patch latex tex math mermaid dot
"""
OTHER_LANGUAGES = """
    java javascript js typescript ts csharp cs go golang rust rs ruby rb kotlin scala swift php perl r
    haskell hs julia lua dart matlab pascal fortran objective-c asm pseudo pseudocode
"""

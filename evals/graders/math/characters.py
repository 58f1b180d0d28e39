r"""Characters beyond ASCII as LaTeX: superscripts, roots, vulgar fractions, signs, letters, digits.

They are read from tables, before Unicode's own normal form is taken: NFKC makes ``104`` of ``10⁴`` and
``11/2`` of ``1½``.
"""

from __future__ import annotations

import re
import unicodedata

_LATEX = {
    "-": "−–—‐‑‒﹣－",
    "+": "＋﬩",
    "/": "÷∕⁄／➗",
    ",": "，﹐",
    ":": "：∶",
    "=": "＝",
    "'": "’‘′",
    '"': "“”″",
    r"\times ": "×✕✖⨯",
    r"\cdot ": "·⋅∙•",
    r"\infty ": "∞",
    r"\le ": "≤⩽≦",
    r"\ge ": "≥⩾≧",
    r"\ne ": "≠",
    r"\approx ": "≈≅≃",
    r"\equiv ": "≡",
    r"\cup ": "∪",
    r"\cap ": "∩",
    r"\setminus ": "∖",
    r"\in ": "∈",
    r"\subseteq ": "⊆",
    r"\subset ": "⊂",
    r"\to ": "→⟶",
    r"\mapsto ": "↦",
    r"\Rightarrow ": "⇒",
    r"\pm ": "±",
    r"\mp ": "∓",
    r"^\circ ": "°˚",
    r"\emptyset ": "∅⌀Øø",
    r"\langle ": "⟨〈",
    r"\rangle ": "⟩〉",
    r"\lfloor ": "⌊",
    r"\rfloor ": "⌋",
    r"\lceil ": "⌈",
    r"\rceil ": "⌉",
    r"\mathbb{R}": "ℝ",
    r"\mathbb{Z}": "ℤ",
    r"\mathbb{Q}": "ℚ",
    r"\mathbb{N}": "ℕ",
    r"\mathbb{C}": "ℂ",
    r"\angle ": "∠",
    r"\triangle ": "△∆",
    r"\parallel ": "∥",
    r"\perp ": "⊥",
    r"\sum ": "∑",
    r"\int ": "∫",
    r"\forall ": "∀",
    r"\exists ": "∃",
    r"\neg ": "¬",
    r"\land ": "∧",
    r"\lor ": "∨",
    r"\ldots ": "…⋯",
    r"\alpha ": "α",
    r"\beta ": "β",
    r"\gamma ": "γ",
    r"\delta ": "δ",
    r"\epsilon ": "εϵ",
    r"\theta ": "θϑ",
    r"\lambda ": "λ",
    r"\mu ": "μµ",
    r"\pi ": "π",
    r"\rho ": "ρ",
    r"\sigma ": "σ",
    r"\tau ": "τ",
    r"\varphi ": "φϕ",
    r"\omega ": "ω",
    r"\Delta ": "Δ",
    r"\Gamma ": "Γ",
    r"\Omega ": "ΩΩ",
    "": "\u200b\u200c\u200d\u2060\u2061\u2062\ufeff\u200e\u200f\u202a\u202c\u00ad",
}
_VULGAR = {
    character: tuple(part for part in unicodedata.normalize("NFKC", character).split("⁄"))
    for character in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
} | {"↉": ("0", "3")}
_SIGNS = str.maketrans(
    {one: latex for latex, many in _LATEX.items() for one in many}
    | {one: rf"\frac{{{top}}}{{{bottom}}}" for one, (top, bottom) in _VULGAR.items()}
)

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣ", "0123456789+-=()nix", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₓₙₖₘᵢⱼ", "0123456789+-=()aexnkmij", strict=True))
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+")
_RAISED_OVER_LOWERED = re.compile(f"([{''.join(_RAISED)}]+)[⁄/]([{''.join(_LOWERED)}]+)")
_LOWERED_RUN = re.compile(f"[{''.join(_LOWERED)}]+")
_ROOT = re.compile(r"(?:(?<!\w)([²³⁴⁵]))?([√∛∜])\s?(\d+(?:\.\d+)?|[A-Za-zπθ])?")
_SET_OF_NOTHING = re.compile(r"(?<![A-Za-z\\}])\{\s?∅\s?\}")  # braces of LaTeX would group a command
_ROOT_OF = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}


def to_latex(text: str) -> str:
    r"""``text`` with what is not ASCII written as LaTeX, where there is a way to.

    ``√(x+1)`` becomes ``\sqrt(x+1)``: brackets are ``normalize``'s business.
    """
    if text.isascii():
        return text
    text = _SET_OF_NOTHING.sub(r"\\{\\emptyset \\}", text)
    text = _ROOT.sub(_root, text)
    text = _RAISED_OVER_LOWERED.sub(_fraction, text)
    text = _RAISED_RUN.sub(lambda run: "^{" + "".join(_RAISED[c] for c in run.group()) + "}", text)
    text = _LOWERED_RUN.sub(lambda run: "_{" + "".join(_LOWERED[c] for c in run.group()) + "}", text)
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS))
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text.translate(_SIGNS))


def _root(match: re.Match[str]) -> str:
    index, sign, operand = match.groups()
    command = rf"\sqrt[{_RAISED[index]}]" if index and sign == "√" else _ROOT_OF[sign]
    return f"{command}{{{operand}}}" if operand else command


def _fraction(match: re.Match[str]) -> str:
    top = "".join(_RAISED[character] for character in match[1])
    bottom = "".join(_LOWERED[character] for character in match[2])
    return rf"\frac{{{top}}}{{{bottom}}}"

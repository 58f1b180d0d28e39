"""What every page shares: the templates, and the policy that lets only the page's own style and script in."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import metadata, resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from reports.samples import mathematics


def template(name: str) -> jinja2.Template:
    """A template of this package; everything put into it is escaped."""
    return _environment().get_template(name)


def macros(name: str) -> Any:
    """The macros of a template, to be called from here."""
    return template(name).module


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "tex": mathematics.rendered,
        "formula": mathematics.formula,
        "breakable": _breakable,
    }
    return environment


def _breakable(heading: str) -> Markup:
    """A heading that may go on in the next line after a dot or an underscore."""
    return Markup(re.sub(r"([._/])(?=\w)", r"\1<wbr>", str(escape(heading))))


def template_text(name: str) -> str:
    """A style sheet or script as it stands."""
    return resources.files("reports").joinpath("templates", name).read_text(encoding="utf-8")


def script_text() -> str:
    """The script of every page: its tables and samples, then its figures."""
    return template_text("page.js") + template_text("figures.js")


def policy(style: str, script: str) -> str:
    """The content-security policy: this style sheet and this script by their hashes, and nothing besides."""
    return f"{_own(style, script)}; form-action 'none'"


def served_policy(style: str, script: str) -> str:
    """The same for a page that a server sends: it may ask that server again, and sits in no other page."""
    return f"{_own(style, script)}; form-action 'self'; connect-src 'self'; frame-ancestors 'none'"


def _own(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "img-src data:; base-uri 'none'"
    )


def version() -> str:
    """The version of this program; "" where it is not installed."""
    try:
        return metadata.version("grpo-harness")
    except metadata.PackageNotFoundError:
        return ""


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

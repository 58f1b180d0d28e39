"""Plain Python values as JSON bytes, and back: all that crosses between a program and its tests.

What is decoded is built from this short list of built-in types and nothing else, so a value that comes back
from an untrusted process has no behaviour of its own: no ``__eq__`` that says yes to everything. Anything
not on the list crosses as a handle, a number that stands for the object where it lives.

None, bool, str, lists, floats and ordinary ints are written as JSON has them; the rest as a one-key object
whose key names the type. Subclasses cross as their base (a named tuple as a tuple, a Counter as a dict), a
dictionary's views as those of another dictionary; iterators are exhausted and cross as iterators, numpy's
scalars as plain numbers. Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_JSON_BITS = 1024  # beyond it the decimal notation of an int costs quadratic time; hexadecimal does not


class CodecError(ValueError):
    """Bytes that no encoder here writes, or a value that has no notation here."""


def dumps(value: object, handle: Callable[[object], list[Any]]) -> bytes:
    """``value`` as JSON bytes; ``handle`` gives the JSON that stands for an object that is not a plain value.

    Raises:
        CodecError: the value is nested too deeply or contains itself.
    """
    try:
        return json.dumps(_encode(value, handle), separators=(",", ":")).encode()
    except RecursionError:
        raise CodecError("a value that is nested too deeply") from None


def loads(data: bytes, resolve: Callable[[list[Any]], object]) -> Any:
    """The value that ``dumps`` wrote; ``resolve`` turns a handle's JSON back into an object.

    Raises:
        CodecError: the bytes are no value in this notation.
    """
    try:
        return _decode(json.loads(data), resolve)
    except CodecError:
        raise
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        RecursionError,
        AttributeError,
        KeyError,
        IndexError,
    ) as error:
        raise CodecError(f"not a value in the sandbox's notation ({type(error).__name__})") from None


def _encode(value: object, handle: Callable[[object], list[Any]]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= MAX_JSON_BITS else {"int": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        items = [_encode(item, handle) for item in value]
        return items if isinstance(value, list) else {_name(value, SEQUENCES): items}
    if isinstance(value, dict):
        return {"dict": [[_encode(k, handle), _encode(v, handle)] for k, v in value.items()]}
    if isinstance(value, (KeysView, ValuesView, ItemsView)):
        return {_name(value, VIEWS): [_encode(item, handle) for item in value]}
    if isinstance(value, Iterator):
        return {"iterator": [_encode(item, handle) for item in value]}
    return _encode_rare(value, handle)


def _name(value: object, kinds: dict[str, Any]) -> str:
    return next(name for name, kind in kinds.items() if isinstance(value, kind))


def _encode_rare(value: object, handle: Callable[[object], list[Any]]) -> Any:
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytearray" if isinstance(value, bytearray) else "bytes": value.hex()}
    if isinstance(value, range):
        return {"range": [_encode(n, handle) for n in (value.start, value.stop, value.step)]}
    if isinstance(value, Decimal):
        return {"Decimal": str(value)}
    if isinstance(value, Fraction):
        return {"Fraction": [_encode(value.numerator, handle), _encode(value.denominator, handle)]}
    if isinstance(value, (datetime, date, time)):
        # ISO 8601 has no word for the second of two equal wall-clock times (PEP 495).
        return {_name(value, ISO): [value.isoformat(), getattr(value, "fold", 0)]}
    if isinstance(value, type) and TYPES.get(value.__name__) is value:
        return {"type": value.__name__}
    if isinstance(value, timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    numpy: Any = sys.modules.get("numpy")  # there if the program imported it
    if numpy is not None and isinstance(value, numpy.generic):
        item = value.item()
        if not isinstance(item, numpy.generic):  # a long double has no plain counterpart
            return _encode(item, handle)
    return {"object": handle(value)}


SEQUENCES: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
VIEWS: dict[str, type] = {"keys": KeysView, "values": ValuesView, "items": ItemsView}
TYPES: dict[str, type] = {
    "bool": bool, "bytes": bytes, "complex": complex, "dict": dict, "float": float, "frozenset": frozenset,
    "int": int, "list": list, "set": set, "str": str, "tuple": tuple,
}  # fmt: skip
BYTES: dict[str, Any] = {"bytes": bytes, "bytearray": bytearray}
ISO: dict[str, Any] = {"datetime": datetime, "date": date, "time": time}


def _decode(node: Any, resolve: Callable[[list[Any]], object]) -> Any:
    if isinstance(node, list):
        return [_decode(item, resolve) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) != 1:
        raise CodecError("an object with other than one key")
    ((name, body),) = node.items()
    if name in SEQUENCES:
        return SEQUENCES[name](_decode(item, resolve) for item in body)
    if name == "dict":
        return {_decode(key, resolve): _decode(item, resolve) for key, item in body}
    if name == "iterator":
        return iter([_decode(item, resolve) for item in body])
    if name in VIEWS:
        return _view(name, [_decode(item, resolve) for item in body])
    if name == "object":
        return resolve(body)
    return _decode_rare(name, body)


def _view(name: str, items: list[Any]) -> object:
    if name == "keys":
        return dict.fromkeys(items).keys()
    return dict(items).items() if name == "items" else dict(enumerate(items)).values()


def _decode_rare(name: str, body: Any) -> Any:
    if name == "int":
        return int(body, 16)
    if name == "complex":
        return complex(*body)
    if name == "type":
        return TYPES[body]
    if name in BYTES:
        return BYTES[name](bytes.fromhex(body))
    if name in ("range", "Fraction"):
        numbers = [_decode(number, _no_object) for number in body]
        return range(*numbers) if name == "range" else Fraction(*numbers)
    if name == "Decimal":
        return Decimal(body)
    if name in ISO:
        text, fold = body
        found = ISO[name].fromisoformat(text)
        return found.replace(fold=1) if fold == 1 else found
    if name == "timedelta":
        return timedelta(*body)
    raise CodecError("an unknown type name")


def _no_object(_body: list[Any]) -> object:
    raise CodecError("an object where a number belongs")

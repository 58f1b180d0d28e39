r"""The unit at the end (or the currency at the start) of an answer: ``5\text{ cm}``, ``90^\circ``, ``\$36``.

Only units known here can contradict each other, or be converted: ``500 cm`` is ``5 m``. Other words
("42 apples") describe and are ignored.
"""

from __future__ import annotations

import re
from fractions import Fraction

# Each dimension's units by their size in the first one's, and the names that they go by.
_DIMENSIONS: dict[str, dict[str, tuple[str, str]]] = {
    "share": {"%": ("1", "% percentage pct percentage-points")},
    "angle": {
        "°": ("1", r"° ^\circ \circ degree degrees deg degs"),
        "arcmin": ("1/60", "arcminute arcminutes"),
    },
    "arc": {"rad": ("1", "rad radian radians")},
    "dollars": {"$": ("1", "$ dollar dollars usd buck bucks"), "cent": ("1/100", "cent cents ¢")},
    "euros": {"€": ("1", "€ euro euros eur")},
    "pounds": {"£": ("1", "£ gbp"), "penny": ("1/100", "pence")},
    "rupees": {"₹": ("1", "₹ rupee rupees rs inr")},
    "yen": {"¥": ("1", "¥ yen yuan")},
    "length": {
        "m": ("1", "m meter meters metre metres"),
        "mm": ("1/1000", "mm millimeter millimeters millimetre millimetres"),
        "cm": ("1/100", "cm centimeter centimeters centimetre centimetres cms"),
        "dm": ("1/10", "dm decimeter decimeters decimetre decimetres"),
        "km": ("1000", "km kilometer kilometers kilometre kilometres kms"),
        "in": ("0.0254", "in inch inches"),
        "ft": ("0.3048", "ft foot feet"),
        "yd": ("0.9144", "yd yds yard yards"),
        "mi": ("1609.344", "mi mile miles"),
    },
    "mass": {
        "g": ("1", "g gram grams gm gms"),
        "mg": ("1/1000", "mg milligram milligrams"),
        "kg": ("1000", "kg kgs kilogram kilograms kilo kilos"),
        "t": ("1000000", "tonne tonnes"),
        "lb": ("453.59237", "lb lbs pound pounds"),
        "oz": ("28.349523125", "oz ounce ounces"),
    },
    "volume": {
        "l": ("1", "l liter liters litre litres"),
        "ml": ("1/1000", "ml milliliter milliliters millilitre millilitres"),
        "gal": ("3.785411784", "gal gallon gallons"),
    },
    "time": {
        "s": ("1", "s sec secs second seconds"),
        "min": ("60", "min mins minute minutes"),
        "h": ("3600", "h hr hrs hour hours"),
        "day": ("86400", "day days"),
        "week": ("604800", "week weeks"),
    },
    "force": {"N": ("1", "newton newtons"), "kN": ("1000", "kilonewton kilonewtons")},
    "energy": {"J": ("1", "joule joules"), "kJ": ("1000", "kj kilojoule kilojoules")},
    "power": {"W": ("1", "watt watts"), "kW": ("1000", "kw kilowatt kilowatts")},
    "frequency": {"Hz": ("1", "hz hertz"), "kHz": ("1000", "khz kilohertz")},
    "charge": {"C": ("1", "coulomb coulombs")},
    "voltage": {"V": ("1", "volt volts"), "kV": ("1000", "kv kilovolt kilovolts")},
    "current": {"A": ("1", "amp amps ampere amperes"), "mA": ("1/1000", "ma milliampere milliamperes")},
    "resistance": {"Ω": ("1", "ohm ohms ω")},
    "pressure": {"Pa": ("1", "pa pascal pascals"), "kPa": ("1000", "kpa kilopascal kilopascals")},
    "amount": {"mol": ("1", "mol mole moles")},
    "temperature in kelvins": {"K": ("1", "kelvin kelvins")},
    "months": {"month": ("1", "month months"), "year": ("12", "year years yr yrs")},
    "temperature": {"°C": ("1", "celsius °c degrees-celsius")},
    "temperature in Fahrenheit": {"°F": ("1", "fahrenheit °f degrees-fahrenheit")},
}
_NAMES = {
    name: unit
    for units in _DIMENSIONS.values()
    for unit, (_, names) in units.items()
    for name in names.split()
} | {"mph": "mi/h", "kmph": "km/h", "kph": "km/h", "kmh": "km/h", "mps": "m/s", "fps": "ft/s"}
_SIZES = {
    unit: (dimension, Fraction(size))
    for dimension, units in _DIMENSIONS.items()
    for unit, (size, _) in units.items()
}
_CAPITAL_UNITS = frozenset("NJWVACK")  # in upright letters only: "5N" is a product
_POWERS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cu": "3", "cubed": "3"}
_MONEY = frozenset(("$", "cent", "€", "£", "₹", "¥"))

# A letter alone is a unit only after a space, "5 m"; "5m" is a product.
_LONE = frozenset("mgshlL")

_CURRENCY = re.compile(
    r"^([+-]?)\s*(?:\\\$|\$|\\text\{\s?\\?\$\s?\}|€|£|₹|¥|Rs\.?|USD|US\\?\$)\s*(?=[\d.\\-])"
)
_SIGN = re.compile(r"\s*(\^\\circ|%|°|¢|€|£|₹|¥|\\\$|\$)$")
# What Chinese, Japanese and Korean count with, 72個, 72명: no scale, and no unit that is known.
_COUNTER = re.compile(
    r"([+-]?\d[\d,.]*)\s?(?![十百千万萬億亿兆십백천만억조])[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{1,4}"
)
_TEMPERATURE = re.compile(r"\s?\^\\circ\s?(?:\\text\s?\{\s?)?([CF])\s?\}?$")
_POWER = r"(?:\^\s?\{?\s?(-[123]|[23])\s?\}?)?"
_TEXT = re.compile(rf"\s*\\text\s?\{{((?:[^{{}}]|\^\{{-?\d\}})*)\}}\s?{_POWER}$")
_TEXT_TIMES = re.compile(
    r"\s*\\text\s?\{([^{}]*)\}\s?(?:\\cdot\s?)?\\text\s?\{([^{}]*)\}\s?\^\s?\{\s?-([123])\s?\}$"
)
# "km h^{-1}", "m s^-2"
_INVERSE = re.compile(r"(.*[A-Za-z])(?:\s|\\cdot\s?|·|\.)+([A-Za-z]+)\s?\^\s?\{?\s?-([123])\s?\}?\s?")
_FRACTION = re.compile(
    r"\s*\\frac\s?\{\s?\\text\s?\{([^{}]*)\}\s?\}\{\s?\\text\s?\{([^{}]*)\}\s?(?:\^\s?\{?([23])\}?)?\s?\}$"
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_VERDICT = re.compile(r"\b(?:not|wrong|incorrect|false|base)\b")
_TEXT_OVER = re.compile(r"\s*\\text\s?\{([^{}]*)\}\s?/\s?\\text\s?\{([^{}]*)\}\s?(?:\^\s?\{?([23])\}?)?$")
_WORDS = re.compile(
    rf"^([+-]?[\d.,/\\{{}} frac]*[\d}}](?:\s?\\(?:times|cdot)\s?10\s?\^\s?\{{?[+-]?\d{{1,3}}\}}?)?)"
    rf"( ?)([A-Za-z°](?:[A-Za-z/ .]|\^[23]|(?<=[a-z])[23])*?)\s?{_POWER}$"
)
_PER = re.compile(r"\s?(?:\bper\b|/|\ba\b|\ban\b)\s?")
# Pounds are of weight or of money, degrees of an angle or of temperature: the question says which.
_HOMONYMS = ({"£", "lb"}, {"°", "°C"}, {"°", "°F"})
_RAISED = re.compile(r"(?:\^\{?|(?<=[a-z]))([23])\}?$")


def split_unit(text: str) -> tuple[str, str]:
    r"""The value and the unit of ``text``, which is in ``normalize.clean`` spelling.

    The unit is a canonical name such as "cm^2" or "m/s", "" where there is none or it is not a known unit.
    """
    currency = _CURRENCY.match(text)
    prefix = ""
    if currency:
        prefix = next((sign for sign in "€£₹¥" if sign in currency.group()), "")
        prefix = prefix or ("₹" if "Rs" in currency.group() else "$")
        text = currency.group(1) + text[currency.end() :]
    if match := _COUNTER.fullmatch(text):
        return match[1], ""
    if match := _TEMPERATURE.search(text):
        return text[: match.start()], "°" + match[1]
    if (match := _SIGN.search(text)) and not (match[1] == r"^\circ" and _TRIGONOMETRY.search(text)):
        return text[: match.start()], _NAMES[match[1].removeprefix("\\") if match[1][-1] == "$" else match[1]]
    if match := _FRACTION.search(text) or _TEXT_OVER.search(text):
        unit = _unit(f"{match[1]}/{match[2]}{'^' + match[3] if match[3] else ''}", None)
        if unit:
            return text[: match.start()].strip(), unit
    if match := _TEXT_TIMES.search(text):
        unit = _unit(f"{match[1].strip()} {match[2].strip()}", f"-{match[3]}")
        if unit:
            return text[: match.start()].strip(), unit
    if match := _TEXT.search(text):
        value = text[: match.start()].strip()
        unit = _unit(match[1], match[2])
        if value and (unit or not _is_prose(value)) and not _VERDICT.search(match[1]):
            return value, unit or prefix
    if match := _WORDS.match(text):
        value, space, words, power = match.groups()
        unit = _unit(words, power)
        if len(words) == 1 and not (space and words in _LONE):
            return text, prefix
        if unit or (space and len(words) > 2):
            return value.strip(), unit or prefix
    return text, prefix


def glued_unit(text: str) -> tuple[str, str] | None:
    """The value and unit of ``13m``, where a letter is known to be a unit and no variable."""
    match = re.fullmatch(r"([+-]?[\d.,]*\d)([mgshlL])(\^\{?[23]\}?)?", text)
    if not match:
        return None
    return match[1], _NAMES[match[2].lower()] + (match[3] or "").replace("{", "").replace("}", "")


def known_unit(name: str) -> str:
    """The canonical name of one unit, "" for a word that is none: "hours" is "h"."""
    return _simple(name, None)


def conversion(unit: str, other: str) -> Fraction | None:
    """What a value in ``other`` must be multiplied by to be one in ``unit``; None: they cannot both be right.

    An unstated unit fits everything; so do a sum of money and the same sum a day.
    """
    if not unit or not other or unit == other or {unit, other} in _HOMONYMS:
        return Fraction(1)
    if unit.partition("/")[0] == other.partition("/")[0] in _MONEY and ("/" in unit) != ("/" in other):
        return Fraction(1)
    sizes = [_size(unit), _size(other)]
    if sizes[0] is None or sizes[1] is None or sizes[0][0] != sizes[1][0]:
        return None
    return sizes[1][1] / sizes[0][1]


def _size(unit: str) -> tuple[tuple[str, ...], Fraction] | None:
    """The dimensions of a unit and its size in their first units: "km/h", "cm^2"."""
    dimensions: list[str] = []
    size = Fraction(1)
    for place, part in enumerate(unit.split("/")):
        name, _, power = part.partition("^")
        if name not in _SIZES:
            return None
        dimension, own = _SIZES[name]
        dimensions.append(f"{dimension}^{power or 1}")
        size *= own ** (int(power or 1) * (-1 if place else 1))
    if dimensions == ["length^3"]:
        return ("volume^1",), size * 1000  # a litre is a cubic decimetre
    return tuple(dimensions), size


def _unit(words: str, power: str | None) -> str:
    """The canonical name of "square centimeters", "cm" with exponent 2, "miles per hour"; else ""."""
    inverse = _INVERSE.fullmatch(f"{words.strip()}^{power}" if power else words)
    if inverse:
        words, power = f"{inverse[1]}/{inverse[2]}", inverse[3] if inverse[3] != "1" else None
    elif power and power.startswith("-"):
        return ""
    upper, per, lower = _PER.sub("/", words).partition("/")
    if not per:
        return _simple(words, power)
    over, under = _simple(upper, None), _simple(lower, power)
    if over and under:
        return f"{over}/{under}"
    return over if over in _MONEY else ""


def _simple(words: str, power: str | None) -> str:
    raised = power or ""
    if words.strip() in _CAPITAL_UNITS:
        return f"{words.strip()}^{power}" if power else words.strip()
    rest = []
    for word in words.replace(".", " ").lower().split():
        if word in _POWERS:
            raised = _POWERS[word]
        elif match := _RAISED.search(word):
            raised = match[1]
            rest.append(word[: match.start()])
        else:
            rest.append(word)
    name = _NAMES.get("-".join(rest), "")
    return f"{name}^{raised}" if name and raised and "/" not in name else name


def _is_prose(value: str) -> bool:
    return value[-1:].isalpha() and "\\" not in value

"""Kubernetes quantities ("100m", "128Mi", "1e3", "0.5Gi") as exact numbers (source: apimachinery's resource.Quantity).

Called by `container_families.py` and `usage.py`. As kube-state-metrics does: what is no whole number of the unit is rounded
up, cores to thousandths.
"""

import re
from fractions import Fraction
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@lru_cache(maxsize=8192)
def exact(text: str | int | float) -> Fraction | None:
    """Return the quantity, None for what is none."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        return None
    sign, whole, fraction, only, exponent, suffix = match.groups()
    digits = Fraction(f"{sign}{whole or 0}.{fraction or only or 0}")
    if exponent:
        return digits * Fraction(10) ** int(exponent)
    if suffix in _BINARY:
        return Fraction(digits * (1 << _BINARY[suffix]))
    return digits * Fraction(10) ** _DECIMAL[suffix or ""]


@lru_cache(maxsize=8192)
def whole(text: str | int | float) -> str | None:
    """Return the quantity rounded up to a whole number, as text; None for what is none."""
    number = exact(text)
    return None if number is None else str(_up(number))


@lru_cache(maxsize=8192)
def cores(text: str | int | float) -> str | None:
    """Return the quantity rounded up to thousandths, as text; None for what is none."""
    number = exact(text)
    return None if number is None else decimal(Fraction(_up(number * 1000), 1000))


def decimal(number: Fraction) -> str:
    """Return the number as a float's shortest text, whole numbers without a fraction."""
    return str(number.numerator) if number.denominator == 1 else repr(float(number))


def _up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)

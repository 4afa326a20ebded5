"""Quantities of Kubernetes, exactly."""

from fractions import Fraction

import pytest

from exporters.route_management.pods.quantities import cores, exact, whole


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1), ("0", 0), ("100m", Fraction(1, 10)), ("128Mi", 128 << 20), ("1e3", 1000), ("1E3", 1000), ("1E", 10**18),
        ("0.5Gi", 1 << 29), ("1.5", Fraction(3, 2)), ("2.", 2), (".5", Fraction(1, 2)),
        ("12345678n", Fraction(12345678, 10**9)), ("3u", Fraction(3, 10**6)), ("2k", 2000), ("7Ei", 7 << 60),
        ("1e-3", Fraction(1, 1000)), ("-1", -1), (5, 5),
        ("9007199254740993", 9007199254740993),
    ],
)  # fmt: skip
def test_a_quantity_is_exact(text: str | int, number: Fraction | int) -> None:
    assert exact(text) == number


@pytest.mark.parametrize("text", ["", "m", "1K", "1 Mi", "1ki", "one", "1e", "0x10", "1_000", "--1"])
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert exact(text) is None
    assert whole(text) is None
    assert cores(text) is None


@pytest.mark.parametrize(
    ("text", "lines"), [("100m", "0.1"), ("1500m", "1.5"), ("2", "2"), ("1n", "0.001"), ("0", "0"), ("0.1", "0.1")]
)
def test_cores_are_rounded_up_to_thousandths(text: str, lines: str) -> None:
    assert cores(text) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [("100m", "1"), ("1500m", "2"), ("1Ki", "1024"), ("0.1Ki", "103"), ("8Ei", "9223372036854775808")],
)
def test_other_resources_are_rounded_up_to_whole_numbers(text: str, lines: str) -> None:
    assert whole(text) == lines

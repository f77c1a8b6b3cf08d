"""Kubernetes quantities as bytes."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.errors import BadInput
from carina_tasks.model import quantity
from carina_tasks.model.quantity import GIB

FACTORS = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
    "e3": Fraction(1000),
    "E-2": Fraction(1, 100),
    "e+1": Fraction(10),
}


@given(
    st.integers(0, 10**12),
    st.integers(0, 999_999),
    st.sampled_from(sorted(FACTORS)),
    st.sampled_from(["", "+"]),
)
def test_it_equals_exact_arithmetic(whole, fraction, suffix, sign):
    """Digits times the suffix's factor, rounded up to bytes; out of range refused."""
    text = f"{sign}{whole}.{fraction:06}{suffix}"
    exact = (Fraction(whole) + Fraction(fraction, 10**6)) * FACTORS[suffix]
    if 0 < exact <= quantity.LARGEST:
        assert Fraction(quantity.amount(text)) == exact
        assert quantity.to_bytes(text) == math.ceil(exact)
    else:
        with pytest.raises(BadInput):
            quantity.to_bytes(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5Gi", 5 * GIB),
        ("500M", 500_000_000),
        (1073741824, GIB),
        ("1.5Gi", 3 * GIB // 2),
        (".5Ki", 512),
        ("1.", 1),
        ("1e3", 1000),
        ("1n", 1),
        ("1Ei", 1 << 60),
        ("128974848", 128974848),
    ],
)
def test_what_the_field_writes(text, size):
    """Quantities as they stand in manifests."""
    assert quantity.to_bytes(text) == size


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.5,
        [],
        {},
        "",
        " 5Gi",
        "5Gi\n",
        "5 Gi",
        "5gi",
        "5GB",
        "Gi",
        "-5Gi",
        -1,
        "1_0",
        "NaN",
        "inf",
        "0x10",
        "1e",
        "1e3Gi",
        "٥Gi",
        "5Gi;reboot",
        "9" * 25,
        "1e999",
        10**30,
    ],
)
def test_what_is_no_quantity_is_refused(value):
    """Types, spaces, words, negatives, other scripts' digits, and numbers without end."""
    with pytest.raises(BadInput, match="not a"):
        quantity.amount(value)


@pytest.mark.parametrize("value", [0, "0", "0Gi", "1.1Ei", "2Ei", "9e18"])
def test_a_size_is_above_zero_and_at_most_an_exbibyte(value):
    """A quantity, but no size."""
    with pytest.raises(BadInput, match="not a size"):
        quantity.to_bytes(value)


@given(st.integers(1, 1 << 60))
def test_whole_gib_rounds_up_by_less_than_one(size):
    """The smallest multiple of a GiB that holds it."""
    whole = quantity.whole_gib(size)
    assert whole % GIB == 0
    assert 0 <= whole - size < GIB


@given(st.integers(1, 1 << 60))
def test_what_is_shown_reads_back(size):
    """A size written into a status is the size that is read from it."""
    assert quantity.to_bytes(quantity.show(size)) == size


def test_sizes_are_shown_as_people_write_them():
    """Gi where it is whole, Mi where that is, else bytes."""
    assert [quantity.show(size) for size in (5 * GIB, GIB // 2, 1000, 0)] == [
        "5Gi",
        "512Mi",
        "1000",
        "0",
    ]

"""Kubernetes quantities as bytes, and bytes as whole GiB, Carina's unit of LVs.

Source: k8s.io/apimachinery `resource.Quantity`: suffixes n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or a
decimal exponent. Written here and not taken from the `kubernetes` package because node workers use
it, and that package costs each of them 60 MB and a second (it also takes ``1_0`` and ``NaN``).
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

from carina_tasks.errors import BadInput

GIB: Final = 1 << 30

LARGEST: Final = 1 << 60
"""An upper bound for one volume (1 EiB): above it a size is a mistake or an attack, and lvm's own
limit is 8 EiB.
"""

_QUANTITY = re.compile(
    r"\+?(\d{1,24}(?:\.\d{0,9})?|\.\d{1,9})(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?\d{1,2}))?",
    re.ASCII,
)
_FACTOR: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(1 << 10),
    "Mi": Decimal(1 << 20),
    "Gi": Decimal(1 << 30),
    "Ti": Decimal(1 << 40),
    "Pi": Decimal(1 << 50),
    "Ei": Decimal(1 << 60),
}


def amount(value: object) -> Decimal:
    """Return any quantity that is zero or above (CPU, memory, counts) as a Decimal.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    match = (
        None
        if isinstance(value, bool) or not isinstance(value, str | int)
        else _QUANTITY.fullmatch(str(value))
    )
    if match is None:
        text = repr(value)
        raise BadInput(f"{text[:40]} is not a quantity: use a Kubernetes quantity such as 5Gi")
    digits, suffix, exponent = match.groups()
    number = Decimal(digits)
    if suffix:
        number *= _FACTOR[suffix]
    elif exponent:
        number *= Decimal(10) ** int(exponent)
    return number


def to_bytes(value: object) -> int:
    """Return a size (``"5Gi"``, ``"500M"``, ``1073741824``) as whole bytes, rounded up.

    Raises:
        BadInput: It does not parse, is not above zero, or is above 1 EiB.
    """
    number = amount(value)
    if not 0 < number <= LARGEST:
        raise BadInput(f"{value!r} is not a size: it must be above zero and at most 1Ei")
    return int(number.to_integral_value(rounding=ROUND_CEILING))


def whole_gib(size: int) -> int:
    """Return `size` bytes rounded up to whole GiB, in bytes.

    Carina's local volumes are whole GiB.
    """
    return -(-size // GIB) * GIB


def show(size: int) -> str:
    """Return `size` bytes as a Kubernetes quantity people read.

    ``5Gi``, ``512Mi``, else plain bytes.
    """
    for unit, factor in (("Gi", GIB), ("Mi", 1 << 20)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)

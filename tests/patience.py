"""How long tests wait on a machine that has more to do."""

from __future__ import annotations

from typing import Final

LOAD: Final = 4
"""How many times longer than its limit for a quiet machine something may take before a test fails.

A wait ends as soon as what it waits for is there, so a longer limit costs time only where a test
fails. What a test asserts about the seconds that a wait took is not stretched.
"""

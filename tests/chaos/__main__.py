"""Run every case, or those that the arguments select as pytest does: `python -m tests.chaos -m
short`.
"""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    named = any(Path(word.split("::")[0]).exists() for word in sys.argv[1:])
    sys.exit(
        pytest.main(
            [*([] if named else [str(Path(__file__).parent)]), "-q", "--tb=short", *sys.argv[1:]]
        )
    )

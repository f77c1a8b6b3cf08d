"""The lab's own errors."""


class LabError(Exception):
    """A real part did not do what the lab asked of it."""


class GuestStoodStill(LabError):
    """A node's kernel runs and answers nothing.

    User-mode-linux stands still now and then, with whatever ran in it; no program in it can bring
    that about. So the test that met it runs once more, on a node that was booted again
    (``--only-rerun`` in pyproject.toml), and the summary shows it as RERUN. The name is of no error
    of the product: a test that fails with one of those fails.
    """

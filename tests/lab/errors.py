"""The lab's own error."""


class LabError(Exception):
    """A real part did not do what the lab asked of it."""

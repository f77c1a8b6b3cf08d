"""Kill at every step: a deterministic harness, in one process and in virtual time."""

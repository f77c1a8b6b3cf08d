"""Deterministic simulation: the whole system in one process, in virtual time; one seed is one
history.
"""

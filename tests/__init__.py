"""Tests, in tiers by folder: unit, contract, integration, system; and `lab`, the real parts that
they run on.
"""

"""Pure functions on frozen values: no I/O, no Celery, no clock, no randomness.

``placement/``  where can the volumes of a lost node go?
"""

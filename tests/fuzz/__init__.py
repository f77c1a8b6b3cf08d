"""Valid input with something broken in it, at every entrance: an error of ours, a refusal, or what
it should be.

``mutate``   breaks one or more places of JSON
``grammar``  what an lvm command line may look like, written apart from the product ``make fuzz
             EXAMPLES=20000`` runs it for long; `tests/unit/test_fuzz.py` is the same for a short
             time.
"""

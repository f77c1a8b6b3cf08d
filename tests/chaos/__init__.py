"""Bad days on real parts: what breaks is broken on purpose, and the promise is looked at
afterwards.

`python -m tests.chaos` runs every case and prints a line for each: what was done, what was
expected, what was seen, and the seconds until all was as promised. Plain `pytest` does not collect
this folder; `CARINA_CHAOS=1 pytest`, or naming it, does; `-m short` is the selection for CI.

==============  ================================================================================
`story`         what most cases begin and end with, and the line that tells them
`promise`       volumes to be lost and bystanders, and everything that must hold of them afterwards
`proxy`         a proxy before the API server: faults, edited answers, acts at a request
`stand_ins`     carina-controller's clean-up, Carina's node agent, and a sender of tasks
==============  ================================================================================
"""

"""lvm2 on this node: the only code that runs it.

``command``   the one gate: every lvm process, its deadline, its limits, its errors
``report``    what lvm2 reports, as an Inventory
``commands``  the command lines that change something, each bound to a UUID where lvm2 can check one
``volumes``   what a node task asks for: create, mark, remove; idempotent, a result for each volume
``errors``    what lvm writes to stderr, as errors of ours
``results``   results of a node's tasks, from a second report
``zero``      zeroes written over an LV in the background
"""

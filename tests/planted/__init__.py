"""Bugs planted on purpose: a test, a simulation or a chaos case is only worth something if it finds
them.

``catalogue``  every planted bug, with what finds it
``guards``     the guards of the product, each with the edits that take it out
``edits``      one guard taken out of a copy of the code, and the test that must fail then
``rebuilds``   patches for the time of a block: faults in the steps of a rebuild
``rules``      patches for the time of a block: what Carina's controller does, and a rule less
"""

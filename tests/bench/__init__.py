"""``python -m tests.bench``: what carina-tasks costs beside the least that the same work can cost,
in one run.

``measures``  each figure: ours and the bare thing, by turns
``figures``   the table that is printed, with medians, ratios and the machine
"""

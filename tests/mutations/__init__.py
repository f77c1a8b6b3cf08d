"""Each guard is taken out of a copy of the code, and the test that is named for it must fail.

``catalogue``  the guards: function, setting, what fires, and the edits that take them out
``runner``     makes the copy, edits it, runs the tests
"""

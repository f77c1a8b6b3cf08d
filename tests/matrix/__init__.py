"""Contract and system tests beside each supported version of Kubernetes, the broker, Python and
lvm2: ``make matrix``.

`versions`   which versions, where this machine may have them, and which tests judge each
`__main__`   runs what is there and writes ``build/matrix.json``
`results`    what a run wrote, as values; ``results.json`` is the recorded run
`install.sh` gets the versions that the ordinary lab does not have

`docs/support.md` is made from the recorded run. A version that was not there is *not tested*.
"""

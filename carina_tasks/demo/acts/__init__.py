"""The three acts of the demo.

Each shows promises of Carina's failover manual and reports whether they were kept.

``scene``     what all acts share: stage, world, screen, and following volumes while they are
              rebuilt
``deleted``   act one: ``kubectl delete node``, and the same four names on the other node
``silent``    act two: a NotReady node, with annotated pods and others
``orphans``   act three: what the two sweeps remove, and what they leave alone
"""

"""Flower for operators: readable rows, and no access without a password.

``flowerconfig``  the configuration of Flower, unless --conf names another
``rows``          tasks as readable rows: *rebuild node 10.20.9.154 → 5 volumes*
``pages``         the cluster and the broker, from the published status
``templates``     Flower's templates, with parts of ours
``auth``          no access without a password
``patches``       what Flower has no option for
"""

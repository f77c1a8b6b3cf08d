"""Flower for operators: readable rows, and no access without a password.

``flowerconfig``  the configuration that every ``celery -A carina_tasks flower`` reads, unless
``rows``          tasks as readable rows: *rebuild node 10.20.9.154 → 5 volumes*
``auth``          no access without a password
``patches``       what Flower has no option for
                  --conf names another
"""

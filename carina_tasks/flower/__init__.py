"""Flower for operators: readable rows, and no access without a password.

``flowerconfig``  the configuration that every ``celery -A carina_tasks flower`` reads, unless
                  --conf names another
``rows``          tasks as readable rows: *rebuild node 10.20.9.154 → 5 volumes*
``doors``         who may come in, and with which options
``pages``         what Flower has no option for
"""

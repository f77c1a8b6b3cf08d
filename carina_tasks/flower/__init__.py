"""Flower as operators meet it: rows in words, and no way in without a password.

``flowerconfig``  the configuration that every ``celery -A carina_tasks flower`` reads, unless
                  --conf names another
``rows``          tasks in words: *rebuild node 10.20.9.154 → 5 volumes*
``doors``         who may come in, and with which options
``pages``         what Flower has no option for
"""

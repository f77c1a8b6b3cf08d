"""Builders of test data, one module for each kind, with defaults that a test changes where it
matters.

``kubernetes``  raw objects of Kubernetes and Carina, and values made from them
``placement``   nodes, pods and inventories for placement
``lvm``         LVs and inventories of one node
``trash``       LVs in the trash
``failback``    a failover that left an old copy
``flow``        the fakes of the API server and the nodes, and the context of a flow
``rebuild``     a model of one rebuild, step by step
``rebuilt``     what a rebuild must leave behind
``http``        a server of broken HTTP responses
``redis``       a fake Redis, and one that is away
``app``         a Celery application with a fake Redis
"""

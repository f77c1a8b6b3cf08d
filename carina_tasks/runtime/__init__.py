"""What one process is made of.

The objects that its tasks share, its endpoint and its monitoring events.

``context``      the context of the flows: connections to the API server and to Redis
``node_calls``   the client of the node workers
``node_lvm``     the lvm2 of this node
``endpoint``     what a process begins with: its watches, and its endpoint
``served``       metrics and health checks over HTTP
``observer``     the cluster's gauges, read in a thread of its own
``task_events``  events for Flower and `celery events`
"""

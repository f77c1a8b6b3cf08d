"""What a task does, without Celery: observe, decide, act.

``context``       everything a flow works with, handed in, so that a test can hand in its own
``observe``       inventories of nodes
``failover``      a node is lost: which volumes, whereto, and the journals that say so
``advance``       one journalled volume, step by step, and a batch of them
``tell``          what people are told of a rebuild: Events and progress
``resume``        whatever is journalled and unfinished, and whatever the watch missed
``sweep_local``   local volumes against LogicVolumes
``sweep_logic``   LogicVolumes against PersistentVolumes
``plan``          what the loss of a node would do; writes nothing
``status``        what is going on now
``threads``       several threads that log as one task
``results``       what the tasks give back
"""

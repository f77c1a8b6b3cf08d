"""How results look in a terminal, in a Python shell and in a notebook.

``tables``     tables as text and as HTML
``results``    a task's result: JSON that prints as tables
``status``     the status
``inventory``  an inventory of a node
"""

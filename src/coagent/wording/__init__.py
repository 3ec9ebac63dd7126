"""What models read: instructions, notices, results, and the tools with which they repair.

It is the same at every door; a door says only what its tools are called and how an agent ends its work. Each
text stands whole in `tests/wording`, as a model gets it.
"""

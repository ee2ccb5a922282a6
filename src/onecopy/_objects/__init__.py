"""Plain Python objects in shared memory: sequences, mappings and sets that decode on access.

A list of a million dicts has no buffers that could be shared: its objects would be copied into
every process, and reading them would copy more (their reference counts are written). Here they are
encoded once, into a few flat arrays; a process decodes what it reads, and forgets it. ``columns``
has the encodings, ``sequences`` and ``mappings`` the classes that use them, ``index`` the hash
table; ``share_objects`` decides in which form an object is shared. The arrays are sent like any
others: nothing here knows of segments.

``counter`` and ``log`` are the structures that many processes write.
"""

"""Plain Python objects in shared memory: sequences, mappings and sets that decode on access.

A list of a million dicts has no buffers that could be shared: its objects would be copied
into every process, and reading them would copy more (their reference counts are written).
Here they are encoded once, into a few flat arrays; what a process reads it decodes, and
forgets. ``columns`` has the encodings, ``sequences`` and ``mappings`` the classes that stand
on them, ``index`` the hash table, and ``choice`` decides what becomes of an object that is
given to ``share``. The arrays travel like any others: nothing here knows of segments.

``counter`` and ``log`` are the structures that many processes write.
"""

"""The pool's engine. Runs in the owner, the process that made the pool.

``setup`` makes one, ``calls`` and the doors use it, ``driver`` sleeps for it.
"""

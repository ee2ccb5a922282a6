"""The faults that pools survive: the same faults for every pool, each in a process of its own.

``python -m bench.faults`` runs them all, ``--help`` says more. ``rows`` has the faults,
``tasks`` what workers are made to do, ``peers`` the pools and how each is set up. ``cell``
is the program that meets one fault with one pool; ``watch`` runs it under a watchdog and
counts what it leaves behind. ``facts`` is what both of them saw, ``judge`` what follows
from it, and ``show`` the tables.

Nothing is measured in seconds but how soon an error came. Speed is for ``bench.figures``.
"""

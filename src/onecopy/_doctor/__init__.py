"""``onecopy doctor``: the truth about a program that uses processes, without a change to it.

``launch`` starts the program with ``inside/`` injected, which writes fixed records into a ring
per process; ``rings`` empties them and ``sampler`` reads /proc meanwhile. What was kept is a
``recording``; ``processes`` and ``timeline`` make of it what happened, ``findings/`` what to change
(one file each, estimates by ``estimate``), and ``terminal``, ``page`` and ``objects`` show it.

Nothing of this runs inside the program but ``inside/``, which imports the standard library alone.
"""

"""Real programs, each run with the standard pools and with ours, and their results compared.

``make bench-programs`` runs them all, ``ARGS=--short`` a few of them within a minute. A program is
a file of ``work``, and its own main module, as users' programs are: it computes something by a
third-party library, in the way that this library's documents show, and takes its pool
from ``ways``. ``catalog`` names them, ``outcome`` has the arithmetic, ``show`` the table. Each is
timed as a whole process, by ``bench.reaper``, with imports and the pool's making.
"""

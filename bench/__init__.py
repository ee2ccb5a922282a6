"""Benchmarks: each figure beside its peers, in the same run, interleaved.

``python -m bench`` runs them all, ``--help`` says more. ``figures`` has one file per
figure, ``jobs`` the programs that are timed as whole processes. What every figure is made
of is in ``face``, the order of measuring in ``runner``, the arithmetic in ``ratios``, and
the output in ``table``, ``record`` and ``chart``. ``command`` runs a suite of figures: these, and
those of ``published``, which others have chosen. ``programs`` times real programs as a whole,
``runs`` keeps runs and publishes ranges over them, ``simulate`` computes larger pools, ``cutoff``
is a measurement of its own, ``faults`` a table of what each pool survives.

Nothing here is part of the library, and nothing in the library knows of it.
"""

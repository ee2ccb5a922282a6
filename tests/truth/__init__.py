"""The proof that the report is right: programs with one known fault each, and some with none.

``programs`` has them, and ``shapes`` some more, each with its cure; ``child`` runs one in a fresh interpreter;
``python -m tests.truth`` runs all and prints a table: what was expected, what the report
said first, what it estimated the cure to save, and what the cure did save. A few of them
are in ``tests/processes/test_truth.py``.
"""

"""The frame that runs, prints and shows every experiment of the lab.

``face`` is the interface of an experiment and its results; ``finding`` lists them, ``running`` runs
one in a fresh interpreter, ``programs`` runs the lessons that are main programs, ``narrate`` prints
the lines of a process; ``terminal`` and ``page`` show the result, ``versions`` queries each Python
on the machine. No experiment is named in here.
"""

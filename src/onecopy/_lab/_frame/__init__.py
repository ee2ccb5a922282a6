"""What every experiment of the lab is run, printed and shown by.

``face`` is what an experiment has and gives; ``finding`` lists them, ``running`` runs one in
a fresh interpreter, ``programs`` the lessons that are main programs, ``narrate`` is how a
process says what it does; ``terminal`` and ``page`` show the result, ``versions`` asks each
Python on the machine. No experiment is named in here.
"""

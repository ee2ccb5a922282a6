"""The code that runs inside the observed program: one file for each library that is hooked.

These modules are never imported there by this name. ``build`` compiles them once for each version
of Python, and ``boot`` executes what is needed of them, each when its library is imported; so a
program that uses no processes pays for ``ring``, ``install`` and ``forks`` alone. They may import
the standard library and each other, and of the standard library only what costs nothing at
start-up. Three rules hold in all of them:

- nothing that goes wrong in a hook reaches the program (``guard.guarded``);
- no frame of a hook stays in a traceback (``guard.unseen``);
- no thread, no signal, no exit handler, no lock, and nothing written to the standard streams.
"""

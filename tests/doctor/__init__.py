"""Programs of which it is known what is wrong, and their cures: is the doctor right?

``programs`` use the standard library as people do; ``fixed`` are their twins with the change that the
doctor tells. ``truth`` has what must be found, ``__main__`` runs all and compares what was predicted
with what the cure saves.
"""

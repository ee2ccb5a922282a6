"""A worker's side: its loop, the owner's globals in it, and the capture of its output.

Runs in worker processes only. The owner does not import it; the zygote does, and so do the start
methods that fork workers from the owner.
"""

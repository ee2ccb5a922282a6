"""A worker's side: its loop, the owner's globals in it, and what captures its output.

Runs in worker processes alone. Nothing here is imported by the owner, except by the zygote and
the start methods that fork workers from it.
"""

"""How objects cross between processes: pickle, with large buffers as references to segments.

Runs in the owner and in workers alike; knows nothing of pools.
"""

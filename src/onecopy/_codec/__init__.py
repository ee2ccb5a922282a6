"""Conversion of objects to messages: pickle, with large buffers as references to segments.

Runs in the owner and in workers; it has no notion of pools.
"""

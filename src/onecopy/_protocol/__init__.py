"""The protocol between the owner and its workers; the only room that both sides import.

Messages and their layout, the words in shared pages, and the configuration of a new worker.
"""

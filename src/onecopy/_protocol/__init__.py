"""What the owner and its workers agree on; the only room that both sides import.

Messages and their layout, the words in shared pages, and what a worker is told when it begins.
"""

"""Files: load them into shared memory, save them, convert them. Runs in the caller's process."""

"""Progress bars, drawn by the process that made the pool."""

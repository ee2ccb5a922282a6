"""The types of the public names, as type checkers see them: see ``__main__``."""

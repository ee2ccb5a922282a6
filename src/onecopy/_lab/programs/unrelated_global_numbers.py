"""A module whose import creates the list."""

import os

numbers = list(range(int(os.environ["NUMBERS"])))

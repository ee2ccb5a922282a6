"""A module whose import makes the list."""

import os

numbers = list(range(int(os.environ["NUMBERS"])))

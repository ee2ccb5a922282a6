"""A module whose import makes the list."""

import sys

numbers = list(range(int(sys.argv[2])))

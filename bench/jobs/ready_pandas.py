"""``jobs.ready`` as a program that imports pandas first, as many do."""

import pandas  # noqa: F401  # what it costs the workers is what is measured

from .ready import main

if __name__ == "__main__":
    main()

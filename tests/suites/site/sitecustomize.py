"""Found by interpreters that a suite's test starts: they have the same substitutes.

Their path begins with this directory and the repository's root (see ``substitutes``).
"""

from tests.suites.substitutes import install

install()

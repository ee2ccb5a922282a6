"""``python -m onecopy`` is the command ``onecopy``.

For where the script is not on the path, and to say which interpreter is meant.
"""

from .cli import main

if __name__ == "__main__":
    main()

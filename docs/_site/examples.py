"""Shows the examples of docstrings as code.

Our docstrings head them ``Example:``, as Google's style guide does. Griffe, which reads them
for the site, knows ``Examples:`` alone, and would have the prompts rendered as quotations.
"""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """See the module."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)

"""The package's page and addresses, where the addresses are known.

README's links are relative, so they lead to the same version's files in a checkout. On the page
of the package, and in its metadata, they need an address. None is written down here: who builds
the package sets PROJECT_URL to the repository's address, and PROJECT_REF to the tag, as the
release workflow does. Without them README is taken as it is, and the metadata name no address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A picture or a link whose target is a path in this repository.
_LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\])\((?![a-z]+:|#)(?P<path>[^)\s]+)\)")


class AddressesHook(MetadataHookInterface):
    """Called by hatchling for the fields that are named as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the page and the addresses."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        url, ref = os.environ.get("PROJECT_URL", "").rstrip("/"), os.environ.get("PROJECT_REF")
        if url:
            if not ref:
                raise ValueError("PROJECT_URL is set, so PROJECT_REF has to name the tag")
            text = with_addresses(text, url, ref)
            metadata["urls"] = {
                "Source": url,
                "Changelog": f"{url}/blob/{ref}/CHANGELOG.md",
                "Documentation": f"{url}/blob/{ref}/docs/index.md",
                "Issues": f"{url}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_addresses(text: str, url: str, ref: str) -> str:
    """`text` with absolute links: a picture as it is, a file or folder on its page."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}{link['text']}({url}/{kind}/{ref}/{link['path']})"

    return _LINK.sub(absolute, text)

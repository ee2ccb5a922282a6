"""The main job with onecopy: load the file, map over its blocks.

As in the library's own documents; nothing is set but the number of workers and the start
method. See ``jobs`` for how it is run.
"""

from __future__ import annotations

import sys

import numpy as np

import onecopy as oc

from . import finish


def main() -> None:
    path, workers, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    data = oc.load(path)
    with oc.Pool(workers, method=method) as pool:
        finish(pool.map_blocks(np.nansum, data["val"], reduce="sum"))


if __name__ == "__main__":
    main()

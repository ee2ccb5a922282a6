"""Good: onecopy's own pool over shared data."""

import numpy as np

import onecopy as oc

if __name__ == "__main__":
    data = oc.share(np.ones(30_000_000))
    with oc.Pool(2) as pool:
        print(float(sum(pool.map_blocks(np.nansum, data))))
        print(sum(pool.map(lambda n: sum(range(n)), [50_000] * 200)))

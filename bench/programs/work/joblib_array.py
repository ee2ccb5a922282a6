"""joblib alone: sixteen calls with an array of 100 MB, shared by ours, mapped by joblib itself."""

import joblib
import numpy as np

from ..ways import Way, run


def part(data: np.ndarray, number: int) -> float:
    return float(np.sqrt(np.abs(data[number::16])).sum())


def main(way: Way) -> object:
    data = np.random.default_rng(1).normal(size=12_500_000)
    if way.ours:
        import onecopy as oc

        data = oc.share(data)
    with way.joblib():
        return joblib.Parallel()(joblib.delayed(part)(data, number) for number in range(16))


if __name__ == "__main__":
    run(main)

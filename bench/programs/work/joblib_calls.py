"""joblib alone: 20,000 calls that take an instant, of its own documents' function."""

from math import sqrt

import joblib

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        return joblib.Parallel()(joblib.delayed(sqrt)(at**2) for at in range(20_000))


if __name__ == "__main__":
    run(main)

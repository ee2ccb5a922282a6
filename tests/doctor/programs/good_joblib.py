"""Good: joblib with enough to do in each call."""

from joblib import Parallel, delayed


def work(factor):
    total = 0
    for number in range(1_000_000):
        total += number * factor
    return total


if __name__ == "__main__":
    print(sum(Parallel(2)(delayed(work)(factor) for factor in range(40))))

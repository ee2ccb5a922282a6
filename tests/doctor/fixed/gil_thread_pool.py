"""The same with processes."""

from onecopy import Pool as ThreadPool


def count(steps):
    total = 0
    for number in range(steps):
        total += number
    return total


class Counter:
    def __init__(self):
        self.pool = ThreadPool(4)

    def run(self):
        return sum(self.pool.map(count, [2_500_000] * 16))


if __name__ == "__main__":
    print(Counter().run())

"""Good: what workers remember, read by a function that does not change it, and main's own results."""

from multiprocessing import Pool

memo = {}
results = {}


class Runner:
    hits = 0

    def __init__(self):
        self.cache = {}

    def __call__(self, number):
        if number in self.cache:
            self.hits += 1
        return self.cache.setdefault(number, fibonacci(number))


def lookup(number):
    return memo.get(number)


def store(number, value):
    memo[number] = value
    results[number] = value


def fibonacci(number):
    if number < 2:
        return number
    known = lookup(number)
    if known is None:
        known = fibonacci(number - 1) + fibonacci(number - 2)
        store(number, known)
    return known


runner = Runner()


def call(number):
    return number, runner(number)


def main():
    with Pool(2) as pool:
        results.update(pool.imap(call, list(range(60)) * 3))
    print(sum(results.values()))


if __name__ == "__main__":
    main()

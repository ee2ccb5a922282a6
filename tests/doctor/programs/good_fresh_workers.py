"""Good: workers by spawn that set up what they need, or read what every process has."""

import multiprocessing
import random
import time

BEGAN = time.time()
FACTOR = random.random()
LIMITS = [number * 2 for number in range(50)]
model = None
results = []
_cache = {}


def load():
    return [number * 3 for number in range(100)]


def price(number):
    global model
    if model is None:
        model = load()
    if number % 5 not in _cache:
        _cache[number % 5] = LIMITS[number % 5]
    late = time.time() - BEGAN > 1000 * (1 + FACTOR)
    return model[number] + _cache[number % 5] + late


if __name__ == "__main__":
    model = load()
    _cache[0] = 0
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        results += pool.imap(price, range(60), chunksize=10)
    print(sum(results))

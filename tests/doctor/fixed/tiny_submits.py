"""The same by map, in chunks."""

from concurrent.futures import ProcessPoolExecutor


def clean(word):
    return word.strip().lower()


if __name__ == "__main__":
    words = [f" Word{number} " for number in range(20_000)]
    with ProcessPoolExecutor(2) as executor:
        print(sum(len(word) for word in executor.map(clean, words, chunksize=1_000)))

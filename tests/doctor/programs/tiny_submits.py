"""Twenty thousand calls of next to nothing, each submitted by itself."""

from concurrent.futures import ProcessPoolExecutor


def clean(word):
    return word.strip().lower()


if __name__ == "__main__":
    words = [f" Word{number} " for number in range(20_000)]
    with ProcessPoolExecutor(2) as executor:
        jobs = [executor.submit(clean, word) for word in words]
        print(sum(len(job.result()) for job in jobs))

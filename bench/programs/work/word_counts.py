"""The oldest example of all: words of texts, counted by ``imap_unordered`` and added up."""

from collections import Counter

from ..ways import WORKERS, Way, run


def count(text: str) -> Counter[str]:
    return Counter(word.strip(".,").lower() for word in text.split())


def main(way: Way) -> object:
    texts = [
        " ".join(f"Word{(at * 7919 + number) % 5003}, and more." for number in range(400))
        for at in range(400)
    ]
    total: Counter[str] = Counter()
    with way.pool(WORKERS) as pool:
        for counted in pool.imap_unordered(count, texts):
            total.update(counted)
    return sorted(total.items())


if __name__ == "__main__":
    run(main)

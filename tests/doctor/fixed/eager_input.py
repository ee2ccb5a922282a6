"""Pages are worked on as they come."""

import time
from multiprocessing import Pool


def pages():
    for number in range(240):
        time.sleep(0.005)
        yield f"page {number} " * 100


def count(page):
    found = 0
    for _ in range(400):
        found += sum(len(word) for word in page.split())
    return found


if __name__ == "__main__":
    with Pool(2) as pool:
        print(sum(list(pool.imap(count, pages(), chunksize=7))))

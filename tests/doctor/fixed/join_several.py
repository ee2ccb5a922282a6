"""The results are fetched first."""

from multiprocessing import Process, Queue


class Worker(Process):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def run(self):
        self.found.put([0] * 200_000)


def main():
    found = Queue()
    workers = [Worker(found) for _ in range(3)]
    for each in workers:
        each.start()
    results = [found.get() for _ in workers]
    for each in workers:
        each.join()
    print(sum(map(len, results)))


if __name__ == "__main__":
    main()

"""A function within a function is the task: it cannot be pickled."""

from concurrent.futures import ProcessPoolExecutor


def main():
    def double(number):
        return 2 * number

    with ProcessPoolExecutor(2) as executor:
        jobs = [executor.submit(double, number) for number in range(3)]
        print(sum(job.exception() is None for job in jobs))


if __name__ == "__main__":
    main()

"""Workers of onecopy take functions by value."""

from onecopy import ProcessPoolExecutor


def main():
    def double(number):
        return 2 * number

    with ProcessPoolExecutor(2) as executor:
        jobs = [executor.submit(double, number) for number in range(3)]
        print(sum(job.exception() is None for job in jobs))


if __name__ == "__main__":
    main()

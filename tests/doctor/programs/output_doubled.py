"""os.fork in the middle of a report that is not written yet; the children end as any program does."""

import os
import sys


def work(number):
    return sum(range(number))


if __name__ == "__main__":
    print("begin of the report")
    for number in (1000, 2000):
        if os.fork() == 0:
            print(f"child: {work(number)}")
            sys.exit(0)
    for _ in range(2):
        os.wait()
    print("end of the report")

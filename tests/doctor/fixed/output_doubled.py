"""The report so far is written before the fork."""

import os
import sys


def work(number):
    return sum(range(number))


if __name__ == "__main__":
    print("begin of the report")
    sys.stdout.flush()
    for number in (1000, 2000):
        if os.fork() == 0:
            print(f"child: {work(number)}")
            sys.exit(0)
    for _ in range(2):
        os.wait()
    print("end of the report")

"""Good: a child that writes nothing of its parent's, one that runs another program, and a Process."""

import multiprocessing
import os
import sys


def work(number):
    print(f"child: {sum(range(number))}")


if __name__ == "__main__":
    print("begin of the report")
    if os.fork() == 0:
        os.write(1, b"by hand\n")
        os._exit(0)
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "pass"])
    for _ in range(2):
        os.wait()
    process = multiprocessing.get_context("fork").Process(target=work, args=(10,))
    process.start()
    process.join()
    print("end of the report")

"""The same, handed to processes."""

import asyncio

from onecopy import ProcessPoolExecutor


def count(steps):
    total = 0
    for number in range(steps):
        total += number
    return total


async def main():
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor() as executor:
        jobs = [loop.run_in_executor(executor, count, 5_000_000) for _ in range(8)]
        print(sum(await asyncio.gather(*jobs)))


if __name__ == "__main__":
    asyncio.run(main())

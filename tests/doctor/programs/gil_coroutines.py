"""Python code that coroutines hand to threads: one computes at a time."""

import asyncio


def count(steps):
    total = 0
    for number in range(steps):
        total += number
    return total


async def main():
    jobs = [asyncio.to_thread(count, 5_000_000) for _ in range(8)]
    print(sum(await asyncio.gather(*jobs)))


if __name__ == "__main__":
    asyncio.run(main())

"""asyncio: 2,000 calls by ``run_in_executor``, 200 at a time, as web servers hand on their work."""

import asyncio
import hashlib

from ..ways import Way, run


def work(number: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", str(number).encode(), b"salt", 300).hex()


async def all_calls(pool: object) -> list[str]:
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(200)

    async def one(number: int) -> str:
        async with gate:
            return await loop.run_in_executor(pool, work, number)  # type: ignore[arg-type]

    return await asyncio.gather(*map(one, range(2000)))


def main(way: Way) -> object:
    with way.executor() as pool:
        return asyncio.run(all_calls(pool))


if __name__ == "__main__":
    run(main)

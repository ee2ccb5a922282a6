"""The same list, shared: no process writes to its pages."""

import time

import onecopy as oc

people = oc.share([{"name": f"person {n}", "born": 1900 + n % 100} for n in range(500_000)])


def oldest(_):
    return int(people.column("born").min()), time.sleep(0.3)


if __name__ == "__main__":
    with oc.Pool(2, method="fork") as pool:
        print([year for year, _ in pool.map(oldest, range(4), chunksize=1)])

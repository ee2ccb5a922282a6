"""An exception that cannot be rebuilt: its class asks for more than it hands on."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool


class ParseError(Exception):
    def __init__(self, line, column):
        super().__init__(f"{line}:{column}")
        self.line, self.column = line, column


def parse(line):
    if line == 2:
        raise ParseError(line, 7)
    return line


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as executor:
        try:
            print(sum(executor.map(parse, range(5))))
        except (ParseError, BrokenProcessPool) as error:
            print(type(error).__name__)

"""Compare `agegender --help` and `agegender train --help` with `python -c 'import hydra'`: imports are lazy.

Whole processes, taking turns. The last line is the ratio of `agegender --help` to the bare import: median (lowest to
highest pair). `agegender train --help`, which composes the whole configuration to show it, is printed above it.

    python benchmarks/help_startup.py [--pairs 7]
"""

import argparse
import statistics
import subprocess
import sys
import time

RUN = "import sys; sys.argv = ['agegender', *{words!r}]; from agegender.cli import main; main()"


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    top, command = [], []
    for pair in range(-1, args.pairs):  # the first fills the file cache and does not count
        bare = seconds("import hydra")
        times = [seconds(RUN.format(words=words)) for words in (["--help"], ["train", "--help"])]
        if pair >= 0:
            top.append(times[0] / bare)
            command.append(times[1] / bare)
            print(
                f"import hydra {bare:.2f} s, agegender --help {times[0]:.2f} s, agegender train --help {times[1]:.2f} s"
            )
    print(f"agegender train --help: {statistics.median(command):.2f} ({min(command):.2f} to {max(command):.2f})")
    print(f"ratio: {statistics.median(top):.2f} ({min(top):.2f} to {max(top):.2f})")


if __name__ == "__main__":
    main()

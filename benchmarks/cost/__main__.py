"""The cost meter: `make bench-cost`, or `python -m benchmarks.cost` in the root of the checkout.

Measures, keeps the counts in `counts.json` and writes `docs/cost.md`. `--page` writes the page from the counts there are.
"""

import argparse

from benchmarks.cost.deployment import read_deployment
from benchmarks.cost.page import PAGE, page
from benchmarks.cost.recorded import FILE, Recorded
from benchmarks.cost.tables import steps_table


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description="What Levante costs on AWS.")
    parser.add_argument("--page", action="store_true", help="write the page from the counts there are")
    if not parser.parse_args().page:
        from benchmarks.cost.workloads import measure  # noqa: PLC0415 - moto, which a page does not need

        FILE.write_text(measure()[0].written(), encoding="utf-8")
    recorded, deployment = Recorded.read(FILE.read_text(encoding="utf-8")), read_deployment()
    PAGE.write_text(page(recorded, deployment), encoding="utf-8")
    print(steps_table(recorded, deployment))


if __name__ == "__main__":
    main()

"""Measure a report of SYSU-MM01's size: ``python -m tests.figures.measure_report [PAGE.html]...``.

Without a page, measures synthetic pages of 3,803 queries with images that fill the budget: one run, then
three. Prints the file size, the seconds until the page is complete, and the processor time of the browser,
which depends less on other load of the machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.chromium import Chromium
from tests.figures.made_report import made_report
from vireid_cli.engine.subjects.report_images import BUDGET
from vireid_cli.figures.report.page import page

QUERIES, GALLERY = 3803, 301
REPEATS = 3
TICK = 1 / os.sysconf("SC_CLK_TCK")


def processor_seconds(profile: Path) -> float:
    """Processor time of all processes that use the browser's profile (Linux)."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(profile) in (folder / "cmdline").read_text():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) * TICK
        except OSError:  # the process has ended
            continue
    return total


def measure(path: Path) -> tuple[float, float]:
    """Measure wall and processor seconds until the page is complete, in a new browser."""
    with tempfile.TemporaryDirectory() as profile, Chromium(Path(profile)) as browser:
        browser.screen(1280, 900)
        browser.run("new Promise(done => setTimeout(done, 1000))")  # wait for pending start-up work
        before = processor_seconds(Path(profile))
        seconds = browser.open(path)
        return seconds, processor_seconds(Path(profile)) - before


def main(pages: list[Path]) -> None:
    """Measure each page and print one line per page."""
    for path in pages:
        measurements = sorted(measure(path) for _ in range(REPEATS))
        seconds, processor = measurements[REPEATS // 2]
        load = os.getloadavg()[0]
        size = path.stat().st_size / 1e6
        span = f"{measurements[0][0]:.2f} to {measurements[-1][0]:.2f}"
        sys.stdout.write(
            f"{path.name}: {size:.1f} MB, whole after {seconds:.2f} s ({span}), "
            f"{processor:.2f} s of processor time, load {load:.1f} on {os.cpu_count()} cores\n"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        named = [Path(name) for name in sys.argv[1:]]
        if not named:
            for runs in (1, 3):
                report = made_report(QUERIES, GALLERY, runs, BUDGET // (QUERIES + GALLERY))
                named.append(Path(folder) / f"made-up-{runs}.html")
                named[-1].write_text(page(report), encoding="utf-8")
        main(named)

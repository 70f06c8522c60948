"""Time every figure at SYSU-MM01's size: ``python -m tests.figures.measure_figures FOLDER [NAME]...``.

Data and runs are made up in FOLDER the first time (3 GB); NAME chooses figures. Each is drawn by the command
line in a process of its own, with as many threads as ``OMP_NUM_THREADS`` says, and one line is printed:
processor seconds, wall seconds, and the machine's load before it. Where others work too, wall seconds say
little, and processor seconds are too many rather than too few.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.figures.made_sysu import made_data, made_run

RUNS = (("baseline", 2048, 0), ("baseline", 2048, 1), ("fdnm", 20480, 0))
ONE, OTHER, WIDE = (f"{recipe}-{seed}" for recipe, _, seed in RUNS)

FIGURES = {
    "cmc, 2 runs": f"cmc {ONE} {OTHER}",
    "curves, 2 runs": f"curves {ONE} {OTHER}",
    "sweep": "sweep {runs} --key log_every",
    "sheet, 400 images": "sheet --images 400",
    "spectrum": "spectrum",
    "phase-swap": "phase-swap",
    "seg": "seg",
    "seg, 12 people, 1,800 images": "seg --ids 12 --images 1800",
    "ranking": f"ranking {ONE}",
    "ranking, 50 queries, 2 runs": f"ranking {ONE} {OTHER} --queries 50",
    "distances, 2 runs of 2,048-d": f"distances {ONE} {OTHER}",
    "distances, 20,480-d": f"distances {WIDE}",
    "attention, ResNet-50 288x144": f"attention {ONE}",
    "tsne": f"tsne {ONE}",
    "tsne, 20,480-d": f"tsne {WIDE}",
    "report": f"report {ONE}",
    "report, 2 runs": f"report {ONE} {OTHER}",
    "report, 20,480-d": f"report {WIDE}",
}


def measure(folder: Path, arguments: str) -> tuple[float, float, bool]:
    """Measure processor and wall seconds of drawing one figure, and whether it succeeded."""
    chosen = arguments.format(runs=folder / "runs").split()
    out = str(folder / ("out.html" if chosen[0] == "report" else "out.png"))
    places = {"VIREID_DATA": str(folder / "data"), "VIREID_RUNS": str(folder / "runs")}
    program = [sys.executable, "-m", "vireid_cli.commands.main", "visualize"]
    command = [*program, *chosen, "--out", out]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write("" if done.returncode == 0 else done.stderr.decode())
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, wall, done.returncode == 0


def main(folder: Path, chosen: list[str]) -> None:
    """Create missing data and time the selected figures."""
    engine = made_data(folder.resolve())
    for recipe, width, seed in RUNS:
        made_run(engine, recipe, width, seed)
    for name, arguments in FIGURES.items():
        if not chosen or any(one in name for one in chosen):
            load = os.getloadavg()[0]
            used, wall, drawn = measure(folder.resolve(), arguments)
            sys.stdout.write(
                f"{name:32} {used:6.1f} s of processor time, {wall:6.1f} s, load {load:.1f} before"
                f"{'' if drawn else ': NOT DRAWN'}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

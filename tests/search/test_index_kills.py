"""Killed while it writes: the acknowledged records are there, no others, and a repetition continues."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.search.made import FINGERPRINT, columns, made, people
from vireid_cli.search.index import Index
from vireid_cli.search.segments import vector_file

ADD = """
import sys
from pathlib import Path
from tests.search.made import FINGERPRINT, columns, people
from vireid_cli.search import writing
from vireid_cli.search.index import Index
writing.CHUNK = 20
def acknowledge(done, total):
    print(done, flush=True)
Index(Path(sys.argv[1])).add(people(4000), columns(4000), fingerprint=FINGERPRINT, progress=acknowledge)
"""
ROOT = Path(__file__).parents[2]


def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL at random moments of an addition; each process repeats the whole command."""
    folder = tmp_path / "gallery"
    Index.create(folder).close()
    draw = random.Random(7)
    acknowledged = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", ADD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout
        limit = draw.randint(1, 25)
        for line in process.stdout:
            limit -= 1
            acknowledged = max(acknowledged, int(line))
            if limit == 0:
                time.sleep(draw.random() * 0.01)
                process.kill()
                break
        rest = process.stdout.read()
        process.stdout.close()
        process.wait()
        acknowledged = max([acknowledged, *map(int, rest.split())])
        index = Index(folder)
        count = index.count()
        assert count >= acknowledged
        assert count % 20 == 0
        assert index.verify() == []
        assert np.array_equal(index.vectors(range(1, count + 1)), people(4000)[:count])
        index.close()
    assert 0 < acknowledged < 4000
    index = Index(folder)
    added = index.add(people(4000), columns(4000), fingerprint=FINGERPRINT)
    assert added.skipped == count
    assert added.added == 4000 - count
    assert index.verify() == []
    assert np.array_equal(index.vectors(range(1, 4001)), people(4000))


EXIT = """
import os, sys
from pathlib import Path
from tests.search.made import FINGERPRINT, columns, people
from vireid_cli.search import segments, snapshot, writing
from vireid_cli.search.index import Index
place, verb, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])

def dies(*arguments, **options):
    os._exit(9)

real = writing.append
def half(path, vectors, first):
    real(path, vectors[: len(vectors) // 2], first)
    os.truncate(path, path.stat().st_size - 7)
    os._exit(9)

def after(path, vectors, first):
    real(path, vectors, first)
    os._exit(9)

index = Index(folder)
if place == "half of the vectors":
    writing.append = half
elif place == "before the records":
    writing.append = after
elif place == "before the commit":
    writing.write_meta = lambda connection, key, value: dies() if key == "version" else None
elif place == "before the files are deleted":
    calls = iter([lambda database: None, dies])
    writing.remove_leftovers = lambda database: next(calls)(database)
else:
    os.fsync = dies
if verb == "add":
    index.add(people(60, seed=3), columns(60, 500), fingerprint=FINGERPRINT)
elif verb == "remove":
    index.remove("camid = 2")
else:
    index.compact()
"""


@pytest.mark.parametrize(
    ("place", "verb"),
    [
        ("half of the vectors", "add"),
        ("before the records", "add"),
        ("before the commit", "add"),
        ("during the flush", "add"),
        ("before the commit", "remove"),
        ("half of the vectors", "compact"),
        ("before the commit", "compact"),
        ("before the files are deleted", "compact"),
    ],
)
def test_killed_there(place: str, verb: str, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    index = made(folder, 120)
    index.remove("camid = 1")
    before = index.search(people(4), top=200)
    index.close()
    done = subprocess.run([sys.executable, "-c", EXIT, place, verb, str(folder)], check=False, cwd=ROOT)
    assert done.returncode == 9
    index = Index(folder)
    assert index.search(people(4), top=200) == before
    assert index.verify() == []
    if verb == "compact":
        assert index.compact() == (0 if place == "before the files are deleted" else 20)
        assert index.search(people(4), top=200) == before
    assert (
        index.add(people(60, seed=3), columns(60, 500), fingerprint=FINGERPRINT, root="/images").added == 60
    )
    assert index.verify() == []
    assert np.array_equal(index.vectors([index.records(offset=100)[0].id])[0], people(60, seed=3)[0])
    assert len(list(folder.glob("vectors-*"))) == 1
    assert vector_file(folder, index.info()["structure"] or (2 if verb == "compact" else 1)).is_file()

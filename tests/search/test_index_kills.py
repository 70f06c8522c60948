"""Killed while it writes: the acknowledged records are there, no others, and a repetition continues."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.search.made import FINGERPRINT, columns, made, people
from vireid_cli.search.index import Index

NURSERY = """
import os, sys
from pathlib import Path
from tests.search.made import FINGERPRINT, columns, people
from vireid_cli.search import adding, approximate, structures, writing
from vireid_cli.search.index import Index

def acknowledge(done, total):
    os.write(1, b"%d\\n" % done)  # whole or not at all; a killed print may lose the end of its line

def half(path, vectors, first):
    append(path, vectors[: len(vectors) // 2], first)
    os.truncate(path, path.stat().st_size - 7)
    os._exit(9)

def complete(path, vectors, first):
    append(path, vectors, first)
    os._exit(9)

def dies(*arguments, **options):
    os._exit(9)

def at_version(connection, key, value):
    if key == "version":
        os._exit(9)

append = adding.append

def work(verb, place, folder):
    index = Index(Path(folder))
    if verb == "long addition":
        adding.CHUNK = 20
        index.add(people(4000), columns(4000), fingerprint=FINGERPRINT, progress=acknowledge)
    elif place == "half of the vectors":
        adding.append = writing.append = half
    elif place == "before the records":
        adding.append = complete
    elif place == "before the commit":
        adding.write_meta = writing.write_meta = at_version
    elif place == "before the files are deleted":
        calls = iter([lambda database: None, dies])
        writing.remove_leftovers = lambda database: next(calls)(database)
    elif place == "before the structure":
        approximate.BUILT_FROM = 20
        writing.change_kind(index.database, "hnsw")
        structures.write_meta = dies
    elif place == "during the flush":
        os.fsync = dies
    if verb == "add":
        index.add(people(60, seed=3), columns(60, 500), fingerprint=FINGERPRINT)
    elif verb == "remove":
        index.remove("camid = 2")
    elif verb == "compact":
        index.compact()

for line in sys.stdin:
    child = os.fork()  # one thread, no index open: a child has all imports and nothing else
    if not child:
        work(*line.rstrip().split("|"))
        os._exit(0)
    print("child", child, flush=True)
    print("end", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


AFTER_THE_COMMIT = ("before the files are deleted", "before the structure")


class Nursery:
    """A process that forks a child for each line and reports its exit code."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def start(self, *words: object) -> None:
        assert self.process.stdin
        self.process.stdin.write("|".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def line(self) -> list[str]:
        assert self.process.stdout
        return self.process.stdout.readline().split()

    def run(self, *words: object) -> int:
        """Run a child to its end and return its exit code."""
        self.start(*words)
        assert self.line()[0] == "child"
        return int(self.line()[1])

    def killed(self, limit: int, delay: float, *words: object) -> int:
        """Kill a child after so many acknowledgements; return the last one."""
        self.start(*words)
        child, last, killed = 0, 0, False
        while (line := self.line())[0] != "end":
            if line[0] == "child":
                child = int(line[1])
            else:
                last = int(line[0])
                limit -= 1
            if child and limit <= 0 and not killed:  # the first line may come before the child's number
                time.sleep(delay)
                os.kill(child, signal.SIGKILL)
                killed = True
        assert int(line[1]) == -signal.SIGKILL
        return last


@pytest.fixture(scope="module")
def nursery() -> Nursery:
    return Nursery()


@pytest.fixture(scope="module", autouse=True)
def _closed(nursery: Nursery) -> object:
    yield
    assert nursery.process.stdin
    assert nursery.process.stdout
    nursery.process.stdin.close()
    nursery.process.wait()
    nursery.process.stdout.close()


def test_kill_9_at_any_moment(tmp_path: Path, nursery: Nursery) -> None:
    """SIGKILL at random moments of an addition; each process repeats the whole command."""
    folder = tmp_path / "gallery"
    Index.create(folder).close()
    draw = random.Random(7)
    acknowledged = count = 0
    for _ in range(6):
        last = nursery.killed(draw.randint(1, 25), draw.random() * 0.01, "long addition", "", folder)
        acknowledged = max(acknowledged, last)
        index = Index(folder)
        count = index.count()
        assert count >= acknowledged
        assert count % 20 == 0
        assert index.verify() == []
        assert np.array_equal(index.vectors(range(1, count + 1)), people(4000)[:count])
        index.close()
    assert 0 < count < 4000
    index = Index(folder)
    added = index.add(people(4000), columns(4000), fingerprint=FINGERPRINT)
    assert added.skipped == count
    assert added.added == 4000 - count
    assert index.verify() == []
    assert np.array_equal(index.vectors(range(1, 4001)), people(4000))


@pytest.mark.parametrize(
    ("verb", "place"),
    [
        ("add", "half of the vectors"),
        ("add", "before the records"),
        ("add", "before the commit"),
        ("add", "during the flush"),
        ("compact", "before the structure"),
        ("remove", "before the commit"),
        ("compact", "half of the vectors"),
        ("compact", "before the commit"),
        ("compact", "before the files are deleted"),
    ],
)
def test_killed_there(verb: str, place: str, tmp_path: Path, nursery: Nursery) -> None:
    folder = tmp_path / "gallery"
    index = made(folder, 120)
    index.remove("camid = 1")
    before = index.search(people(4), top=200)
    index.close()
    assert nursery.run(verb, place, folder) == 9
    index = Index(folder)
    assert index.search(people(4), top=200) == before
    assert index.verify() == []
    if verb == "compact":
        assert index.compact() == (0 if place in AFTER_THE_COMMIT else 20)
        assert index.search(people(4), top=200) == before
    added = index.add(people(60, seed=3), columns(60, 500), fingerprint=FINGERPRINT, root="/images")
    assert added.added == 60
    assert index.verify() == []
    assert np.array_equal(index.vectors([index.records(offset=100)[0].id])[0], people(60, seed=3)[0])
    assert len(list(folder.glob("vectors-*"))) == 1
    assert not list(folder.glob("*.faiss"))

"""How the program ends: the system's refusals in words, an interruption as one."""

from __future__ import annotations

import errno
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vireid_cli import files
from vireid_cli.commands import main
from vireid_cli.errors import DataError, Interrupted


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_operating_system_errors_are_printed_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(**options: object) -> None:
        raise OSError(number, os.strerror(number), "place/file")

    monkeypatch.setattr(main, "app", refuse)
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 1
    assert capsys.readouterr().err == f"error: place/file: {os.strerror(number)}\n"


def test_a_deleted_current_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(main, "app", lambda **options: Path("a").resolve())
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 1
    assert "the current folder does not exist any more\nChange to another" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 4 bytes"
        ),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def short(**options: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", short)
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 1
    result = capsys.readouterr().err
    assert result.startswith("error: not enough memory")
    assert "ulimit -v" in result


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_limit_of_the_address_space_ends_in_words() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20)); "
        "from vireid_cli.commands.main import main; main()"
    )
    words = [sys.executable, "-c", code, "recipes", "check", "quickstart"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: not enough memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(**options: object) -> None:
        raise OSError("not from the system")

    monkeypatch.setattr(main, "app", wrong)
    with pytest.raises(OSError, match="not from the system"):
        main.main()


@pytest.mark.parametrize("step", ["_prepare_streams", "app", "_finish"])
def test_an_interruption_outside_a_command_has_no_traceback(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C or SIGTERM while the command line is built, or while it ends."""

    def interrupted(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, step, interrupted)
    monkeypatch.setattr("sys.argv", ["vireid", "--version"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 130
    assert capsys.readouterr().err.startswith("interrupted: stopped.")


def test_an_interruption_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vireid_cli.engine.engine import Engine

    def interrupted(self: Engine, *args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "synthesize", interrupted)
    monkeypatch.setattr("sys.argv", ["vireid", "prepare", "synthetic", "--device", "cpu"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 130
    assert capsys.readouterr().err.startswith("interrupted: stopped.\nCompleted parts are kept")


def test_a_narrow_character_set_and_a_closed_output_are_no_obstacle() -> None:
    """A minimal environment: no UTF-8, and possibly no stdout."""
    code = "from vireid_cli.commands.main import main; main()"
    words = [sys.executable, "-c", code, "recipes", "list"]
    bare = {"PATH": os.defpath, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    narrow = subprocess.run(words, env=bare, capture_output=True, check=False)
    assert narrow.returncode == 0, narrow.stderr
    assert b"quickstart" in narrow.stdout
    assert narrow.stdout.isascii()
    closed = subprocess.run(
        ["sh", "-c", shlex.join(words) + " >&-"], env=bare, capture_output=True, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


@pytest.mark.parametrize("locale", ["C", "POSIX"])
@pytest.mark.parametrize("command", [["recipes", "list"], ["--help"]], ids=str)
def test_a_locale_without_utf8_is_no_obstacle(locale: str, command: list[str]) -> None:
    """Characters outside ASCII become question marks; before, they were an error of the encoder."""
    code = "from vireid_cli.commands.main import main; main()"
    words = [sys.executable, "-c", code, *command]
    bare = {
        "PATH": os.defpath,
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(words, env=bare, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from vireid_cli.commands import console

    monkeypatch.setattr(console.sys.stdout, "isatty", lambda: True, raising=False)
    for columns, expected in (("40", 40), ("80", 80), ("132", 132)):
        monkeypatch.setenv("COLUMNS", columns)
        assert console.terminal_width() == expected


def test_a_failure_ends_the_bar_and_restores_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from vireid_cli.commands import console

    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=80, soft_wrap=True))
    reporter = console.ConsoleReporter()
    reporter.advance("rendering", 1, 3)
    assert screen.getvalue().count("\x1b[?25l") == 1, "the cursor is hidden while the bar moves"
    console.print_error(Interrupted("stopped."))
    shown = screen.getvalue()
    assert shown.count("\x1b[?25h") == 1
    assert shown.index("\x1b[?25h") < shown.index("interrupted: stopped.")
    assert "rendering" not in shown[shown.index("interrupted") :]
    reporter.advance("rendering", 2, 3)  # a caller that goes on gets a new bar
    console.close_bars()
    assert screen.getvalue().count("\x1b[?25h") == 2


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.EFBIG, "ulimit -f"), (errno.ENOSPC, "free some space")]
)
def test_a_failed_write_has_advice(tmp_path: Path, number: int, advice: str) -> None:
    def fail(file: object) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DataError) as error:
        files.write_with(tmp_path / "a.npz", fail)
    assert advice in error.value.hint
    assert list(tmp_path.iterdir()) == []

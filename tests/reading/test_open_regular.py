"""Users' files: anything but a regular file is refused at once, and so is a file that is too large."""

from __future__ import annotations

import codecs
import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vireid_cli import files, reading
from vireid_cli.data import ids, listing, permutation
from vireid_cli.errors import DataError, RecipeError, UsageError, VireidError
from vireid_cli.recipe.yaml_reader import read_source

READERS: dict[str, Callable[[Path], object]] = {
    "bytes": reading.read_bytes,
    "text": reading.read_text,
    "json": files.read_json,
    "recipe": read_source,
    "list": lambda path: listing.read_lines(path, "a list"),
    "permutation": permutation.read_permutation,
    "ids": ids.read_text_ids,
    "matrix": ids.read_matrix_ids,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_named_pipe_does_not_block(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(VireidError, match="named pipe"):
        read(path)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_folders_and_devices_are_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(VireidError, match="is a folder; a regular file is needed"):
        read(tmp_path)
    with pytest.raises(VireidError, match="is a device"):
        read(Path("/dev/zero"))


def test_a_socket_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("server")
        with pytest.raises(DataError, match="server is a socket"):
            reading.open_regular(Path("server"))


def test_a_link_to_a_file_is_followed_and_to_a_pipe_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "pipe"):
        (tmp_path / f"to_{name}").symlink_to(name)
    assert reading.read_bytes(tmp_path / "to_file") == b"content"
    with pytest.raises(DataError, match="named pipe"):
        reading.read_bytes(tmp_path / "to_pipe")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(DataError, match="symbolic links"):
        reading.read_bytes(tmp_path / "circle")


@pytest.mark.parametrize("name", ["missing", "nul\0byte", "x" * 300])
def test_names_that_name_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not exist|can't be read"):
        reading.open_regular(tmp_path / name, error=UsageError)


def test_the_limit_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(3 * reading.GIB)  # sparse: it takes no space
    with pytest.raises(RecipeError, match=r"has 3\.0 GiB; the limit for such a file is 256\.0 KiB"):
        read_source(path)
    with pytest.raises(DataError, match=r"limit for such a file is 1\.0 GiB"):
        reading.read_text(path)


def test_a_file_of_no_stated_size_is_cut_at_the_limit() -> None:
    with pytest.raises(DataError, match="more than 2 bytes"):
        reading.read_bytes(Path("/proc/self/status"), limit=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a".encode("utf-16"), "UTF-16 or UTF-32"),
        ("name: a".encode("utf-32"), "UTF-16 or UTF-32"),
        ("name: a".encode("utf-16-le"), "recipe.yaml:1: a NUL byte"),
        (b"name: a\nabout: \xe9t\xe9\n", "recipe.yaml:2: byte 0xe9 is not UTF-8"),
        (codecs.BOM_UTF8 + b"a: 1\nb: \xff", "recipe.yaml:2: byte 0xff is not UTF-8"),
        (b"a: 1\r\nb: \0", "recipe.yaml:2: a NUL byte"),
    ],
)
def test_other_encodings_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        reading.read_text(path)


def test_a_byte_order_mark_and_line_ends_are_read_over(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(codecs.BOM_UTF8 + "a\r\nü\rb\n".encode())
    assert reading.read_text(path) == "a\nü\nb\n"


def test_surrogates_return_as_they_were_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xc4\xe3.jpg")
    path = files.write_json(tmp_path / "names.json", [name])
    assert files.read_json(path) == [name]


def test_a_limit_takes_no_memory(tmp_path: Path) -> None:
    """Python allocates as much as it is asked to read: a limit of an exabyte would be a MemoryError."""
    path = tmp_path / "small"
    path.write_bytes(b"abc" * 1000)
    assert reading.read_bytes(path, limit=1 << 60) == b"abc" * 1000
    assert reading.read_bytes(path) == b"abc" * 1000
    assert reading.read_bytes(path, limit=3000) == b"abc" * 1000
    with pytest.raises(DataError, match="limit"):
        reading.read_bytes(path, limit=2999)


def test_little_memory_is_no_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short:
        def read(self, size: int) -> bytes:
            raise MemoryError

        def fileno(self) -> int:
            return 0

        def __enter__(self) -> Short:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(reading, "open_regular", lambda *_, **__: Short())
    with pytest.raises(MemoryError):
        reading.read_bytes(tmp_path / "a")


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(40)]
)
def test_names_in_archive_are_empty_for_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert reading.names_in_archive(tmp_path / "file") == frozenset()


def test_names_in_archive_never_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        assert reading.names_in_archive(path) == frozenset()
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr("a.npy", b"")
        archive.writestr("b/c", b"")
    assert reading.names_in_archive(tmp_path / "file.zip") == {"a.npy", "b/c"}

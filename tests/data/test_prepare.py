"""Preparing: right pixels, resumed to the byte, nothing half-made taken for whole, bad images named."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import Listener
from vireid_cli.bench.reference import pil_decode
from vireid_cli.data import pixel_writer
from vireid_cli.data import prepare as preparing
from vireid_cli.data.decode import BadImage, decode
from vireid_cli.data.prepare import add_size, prepare
from vireid_cli.data.resize import resize, resize_all
from vireid_cli.data.store import Store, open_store
from vireid_cli.data.verify import verify
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError
from vireid_cli.lock import locked
from vireid_cli.types import Resize, Size

SIZE = (32, 16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with 72 images of 4 people."""
    root = tmp_path / "data" / "SYSU-MM01"
    noise = np.random.default_rng(0)
    for camid in range(1, 7):
        for pid in (1, 2, 3, 4):
            folder = root / f"cam{camid}" / f"{pid:04d}"
            folder.mkdir(parents=True)
            for frame in (1, 2, 3):
                size = int(noise.integers(40, 90))
                image = cv2.resize(noise.integers(0, 256, (9, 5, 3), dtype=np.uint8), (size // 2, size))
                cv2.imwrite(str(folder / f"{frame:04d}.jpg"), image)
    (root / "exp").mkdir()
    for name, pids in (("train", "1,2"), ("val", "3"), ("test", "4")):
        (root / "exp" / f"{name}_id.txt").write_text(pids)
    return tmp_path / "data"


def run(data: Path, **options: object) -> preparing.Prepared:
    return prepare("sysu", data / "SYSU-MM01", data, SIZE, **options)  # type: ignore[arg-type]


def stored(data: Path) -> Store:
    return open_store(data, "sysu")


def contents(data: Path) -> dict[str, bytes]:
    """Every file of the store but the lock."""
    folder = data / "prepared" / "sysu"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def test_each_row_is_its_image_decoded_and_resized(data: Path) -> None:
    store = run(data).store
    images = store.images(SIZE)
    assert images is not None
    assert images.shape == (72, *SIZE, 3)
    for i, path in enumerate(store.records.paths.tolist()):
        with Image.open(data / "SYSU-MM01" / path) as image:
            pixels = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(images[i], resize(pixels, SIZE, "lanczos"))


@pytest.mark.parametrize(
    ("rule", "mean", "most"),
    [("lanczos", 0.1, 1), ("bicubic", 0.6, 8)],  # with Pillow's JPEG decoder, not only its filter
)
def test_resize_beside_the_field_s_own(tmp_path: Path, rule: Resize, mean: float, most: int) -> None:
    noise = np.random.default_rng(1)
    paths = []
    for k, height in enumerate((300, 410, 200)):
        image = cv2.GaussianBlur(noise.integers(0, 256, (height, height // 2, 3), dtype=np.uint8), (0, 0), 2)
        cv2.imwrite(str(tmp_path / f"{k}.jpg"), image)
        paths.append(tmp_path / f"{k}.jpg")
    ours = np.stack([resize(decode(path.read_bytes()), (288, 144), rule) for path in paths]).astype(np.int64)
    theirs = pil_decode(paths, (288, 144)).astype(np.int64)
    assert np.abs(ours - theirs).mean() < mean
    assert np.abs(ours - theirs).max() <= most


@pytest.mark.parametrize("size", [(16, 8), (64, 20), (75, 75), (37, 5)])
def test_lanczos_is_pillow_s(size: Size) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (37, 21, 3), dtype=np.uint8)
    theirs = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    ours = resize(pixels, size, "lanczos")
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert ours.flags.writeable


def test_pixels_of_two_rules_are_stored_side_by_side(data: Path) -> None:
    first = run(data, resize="bicubic").store
    before = contents(data)
    assert first.resize == "bicubic"
    assert stored(data).images(SIZE) is None
    second = run(data).store
    rows = np.arange(72)
    assert not np.array_equal(first.batch(SIZE, rows), second.batch(SIZE, rows))
    assert {name: contents(data)[name] for name in before} == before
    assert [(files.size, files.resize) for files in second.complete_pixel_files] == [
        (SIZE, "bicubic"),
        (SIZE, "lanczos"),
    ]
    assert verify(second) == []
    with pytest.raises(
        DataError, match=r"24x12, resized by bicubic, is not prepared \(prepared: 32x16"
    ) as why:
        first.batch((24, 12), rows)
    assert "--size 24x12 --resize bicubic" in why.value.hint


def test_a_store_of_the_time_before_lanczos_serves_and_is_extended(data: Path, listener: Listener) -> None:
    """Its pixel files are named by their size alone and were resized by torch's cubic filter."""
    folder = run(data, resize="bicubic").store.folder
    for path in folder.glob("32x16-bicubic.*"):
        path.rename(path.with_name(path.name.replace("-bicubic", "")))
    assert {"32x16.npy", "32x16.rows.npy", "32x16.json"} <= contents(data).keys()
    assert json.loads((folder / "32x16.json").read_text())["resize"] == "cubic-antialias"

    session = Session.choose("cpu", reporter=listener, data_dir=data)
    store = ensure_prepared("sysu", session, SIZE, "lanczos")
    assert listener.infos == ["sysu is prepared at 32x16 by bicubic only: adding pixels by lanczos"]
    assert (store.resize, store.sizes) == ("lanczos", [SIZE])
    assert ensure_prepared("sysu", session, SIZE, "bicubic").sizes == [SIZE]


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    assert resize(pixels, SIZE, "lanczos") is pixels
    np.testing.assert_array_equal(decode(cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()), pixels)


@pytest.mark.parametrize("size", [(16, 8), (40, 30), (50, 21)])
def test_many_images_are_resized_as_each_alone(size: tuple[int, int]) -> None:
    images = np.random.default_rng(3).integers(0, 256, (5, 37, 21, 3), dtype=np.uint8)
    together = resize_all(images, size)
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(together, np.stack([resize(image, size, "bicubic") for image in images]))
    assert resize_all(together, size) is together


def test_grey_and_turned_files_become_three_upright_channels(tmp_path: Path) -> None:
    grey = np.random.default_rng(3).integers(0, 256, (20, 10), dtype=np.uint8)
    pixels = decode(cv2.imencode(".png", grey)[1].tobytes())
    np.testing.assert_array_equal(pixels, np.repeat(grey[:, :, None], 3, axis=2))
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6  # "turn by 90 degrees": the field's readers do not
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert decode((tmp_path / "turned.jpg").read_bytes()).shape == (20, 10, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp"])
def test_a_file_cut_short_is_bad_wherever_it_is_cut(ending: str) -> None:
    image = np.random.default_rng(4).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    data = cv2.imencode(ending, image)[1].tobytes()
    assert decode(data).shape == (40, 20, 3)
    assert decode(data + b"\0" * 16).shape == (40, 20, 3)
    for kept in (0, 1, 20, len(data) // 3, len(data) // 2, len(data) - 13):
        with pytest.raises(BadImage):
            decode(data[:kept])


def test_a_cut_jpeg_with_a_whole_thumbnail_is_bad() -> None:
    thumbnail = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    data = cv2.imencode(".jpg", np.random.default_rng(5).integers(0, 256, (40, 20, 3), dtype=np.uint8))[1]
    block = b"\xff\xe1" + (len(thumbnail) + 8).to_bytes(2, "big") + b"Exif\0\0" + thumbnail
    whole = data.tobytes()[:2] + block + data.tobytes()[2:]
    assert decode(whole).shape == (40, 20, 3)
    with pytest.raises(BadImage, match="truncated"):
        decode(whole[:-20])


def test_finished_work_is_not_repeated(data: Path) -> None:
    first = run(data)
    before = contents(data)
    repeated = run(data)
    assert (first.resumed, first.images, first.bad) == (0, 72, [])
    assert (repeated.resumed, repeated.rate) == (72, 0.0)
    assert contents(data) == before


def test_progress_ends_at_the_whole_and_never_falls(data: Path) -> None:
    result: list[tuple[int, int]] = []
    run(data, progress=lambda done, total: result.append((done, total)))
    assert result[0] == (0, 72)
    assert result[-1] == (72, 72)
    assert result == sorted(result)


@pytest.mark.parametrize("workers", [1, 5])
def test_the_number_of_workers_changes_nothing(data: Path, workers: int, tmp_path: Path) -> None:
    run(data)
    prepare("sysu", data / "SYSU-MM01", tmp_path / "other", SIZE, workers=workers)
    other = contents(tmp_path / "other")
    assert {name: other[name] for name in other} == contents(data)


def test_a_second_size_leaves_the_first_alone(data: Path) -> None:
    run(data)
    before = contents(data)
    added = add_size(stored(data), (24, 12))
    assert added.store.sizes == [(24, 12), SIZE]
    after = contents(data)
    assert {name: after[name] for name in before} == before
    assert verify(added.store) == []


class Killed(BaseException):
    """Stands for SIGKILL at one instant: nothing on the way out may tidy up for it."""


def test_an_interrupted_run_continues_to_the_same_bytes(data: Path, tmp_path: Path) -> None:
    prepare("sysu", data / "SYSU-MM01", tmp_path / "whole", SIZE)

    def stop(done: int, total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, workers=1, progress=stop)
    assert not (data / "prepared" / "sysu" / "store.json").exists()
    repeated = run(data)
    assert 32 <= repeated.resumed < 72
    assert contents(data) == contents(tmp_path / "whole")


def test_kill_9_loses_no_finished_row(data: Path, tmp_path: Path) -> None:
    prepare("sysu", data / "SYSU-MM01", tmp_path / "whole", SIZE)
    code = (
        "import os, signal, sys; from pathlib import Path; from vireid_cli.data.prepare import prepare\n"
        "data = Path(sys.argv[1])\n"
        "kill = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done >= 48 else None\n"
        f"prepare('sysu', data / 'SYSU-MM01', data, {SIZE}, workers=1, progress=kill)"
    )
    root = Path(preparing.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(data)], env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    repeated = run(data)
    assert repeated.resumed >= 48
    assert contents(data) == contents(tmp_path / "whole")


def test_a_half_written_row_is_made_again(data: Path, tmp_path: Path) -> None:
    prepare("sysu", data / "SYSU-MM01", tmp_path / "whole", SIZE)

    def stop(done: int, total: int) -> None:
        if done >= 48:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, workers=1, progress=stop)
    partial = data / "prepared" / "sysu" / "32x16.partial.npy"
    with partial.open("r+b") as stream:  # as after a power failure: the hash is there, the pixels are not
        stream.seek(128 + 3 * 32 * 16 * 3)
        stream.write(b"\0" * 700)
    assert run(data).resumed == 47
    assert contents(data) == contents(tmp_path / "whole")


def test_killed_at_any_step_of_putting_in_place(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename and removal of a run over a changed dataset is tried as the last thing done."""
    run(data)
    (data / "SYSU-MM01" / "cam1" / "0001" / "0001.jpg").unlink()
    prepare("sysu", data / "SYSU-MM01", tmp_path / "whole", SIZE)
    expected = contents(tmp_path / "whole")
    snapshot = contents(data)
    steps = _count_steps(monkeypatch, lambda: run(data))
    assert steps >= 8
    for step in range(steps):
        _restore(data, snapshot)
        with monkeypatch.context() as patch:
            _kill_at(patch, step)
            with pytest.raises(Killed):
                run(data)
        _is_whole_or_refused(data)
        run(data)
        assert contents(data) == expected, step


def _restore(data: Path, snapshot: dict[str, bytes]) -> None:
    folder = data / "prepared" / "sysu"
    for path in folder.iterdir():
        path.unlink()
    for name, content in snapshot.items():
        (folder / name).write_bytes(content)


def _kill_at(patch: pytest.MonkeyPatch, last: int) -> list[int]:
    """Let the renames and removals up to number ``last`` happen, and nothing after."""
    seen = [0]

    def counted(action: Callable) -> Callable:
        def act(self: Path, *arguments: object, **options: object) -> object:
            if seen[0] > last:
                raise Killed
            seen[0] += 1
            done = action(self, *arguments, **options)
            if seen[0] > last:
                raise Killed
            return done

        return act

    for name in ("replace", "unlink"):
        patch.setattr(Path, name, counted(getattr(Path, name)))
    return seen


def _count_steps(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    with monkeypatch.context() as patch:
        seen = _kill_at(patch, 10**6)
        work()
    return seen[0]


def _is_whole_or_refused(data: Path) -> None:
    """The store must not open, or list no size, or every row of every size must be right."""
    try:
        store = stored(data)
    except DataError:
        return
    root = data / "SYSU-MM01"
    for size in store.sizes:
        images = store.images(size)
        assert images is not None
        for i, path in enumerate(store.records.paths.tolist()):
            if (root / path).exists():
                decoded = decode((root / path).read_bytes())
                np.testing.assert_array_equal(images[i], resize(decoded, size, "lanczos"))


def test_a_changed_dataset_is_prepared_anew_and_the_unchanged_copied(data: Path) -> None:
    first = run(data).store
    root = data / "SYSU-MM01"
    (root / "cam2" / "0003" / "0002.jpg").unlink()
    other = np.full((50, 25, 3), 200, np.uint8)
    cv2.imwrite(str(root / "cam4" / "0001" / "0001.jpg"), other)
    repeated = run(data)
    assert (repeated.images, repeated.copied) == (71, 70)
    assert repeated.store.info.fingerprint != first.info.fingerprint
    row = repeated.store.records.paths.tolist().index("cam4/0001/0001.jpg")
    images = repeated.store.images(SIZE)
    assert images is not None
    assert np.abs(images[row].astype(int) - 200).max() <= 2
    assert verify(repeated.store) == []
    # an older size belongs to other records now
    assert repeated.store.sizes == [SIZE]


def test_a_size_of_former_records_is_not_listed(data: Path) -> None:
    run(data)
    add_size(stored(data), (24, 12))
    (data / "SYSU-MM01" / "cam2" / "0003" / "0002.jpg").unlink()
    assert run(data).store.sizes == [SIZE]
    added = add_size(stored(data), (24, 12))
    assert (added.copied, added.store.sizes) == (71, [(24, 12), SIZE])


def spoil(data: Path) -> list[str]:
    """Make three images unreadable in three ways; their paths, sorted."""
    root = data / "SYSU-MM01"
    names = ["cam1/0001/0002.jpg", "cam3/0002/0001.jpg", "cam6/0004/0003.jpg"]
    (root / names[0]).write_bytes(b"")
    whole = (root / names[1]).read_bytes()
    (root / names[1]).write_bytes(whole[: len(whole) * 2 // 3])
    (root / names[2]).write_bytes(b"<html>not found</html>")
    return names


def test_bad_images_are_all_named_and_nothing_is_taken_for_whole(data: Path) -> None:
    names = spoil(data)
    with pytest.raises(DataError, match="3 of 72 images") as error:
        run(data)
    assert error.value.exit_code == 1
    for name, why in zip(names, ("empty file", "truncated", "not an image"), strict=True):
        assert f"{name}: {why}" in error.value.message
    assert "--skip-bad" in error.value.hint
    assert not (data / "prepared" / "sysu" / "store.json").exists()
    assert not (data / "prepared" / "sysu" / "32x16.json").exists()


def test_a_failure_leaves_the_former_store_as_it_was(data: Path) -> None:
    run(data)
    before = contents(data)
    spoil(data)
    with pytest.raises(DataError, match="can't be read"):
        run(data)
    after = contents(data)
    assert {name: after[name] for name in before} == before
    assert stored(data).sizes == [SIZE]


def test_skip_bad_leaves_them_out_and_remembers(data: Path) -> None:
    names = spoil(data)
    with pytest.raises(DataError):
        run(data)
    prepared = run(data, skip_bad=True)
    assert prepared.bad == names
    assert (len(prepared.store.records), prepared.copied + prepared.resumed) == (69, 69)
    assert not set(names) & set(prepared.store.records.paths.tolist())
    assert prepared.store.info.bad[0]["reason"] == "empty file"
    assert verify(prepared.store) == []
    assert run(data, skip_bad=True).resumed == 69
    assert len(add_size(stored(data), (24, 12)).store.records) == 69
    with pytest.raises(DataError, match="3 of 72"):
        run(data)


def test_replaced_images_come_back_and_the_rest_is_kept(data: Path) -> None:
    names = spoil(data)
    run(data, skip_bad=True)
    for name in names:
        cv2.imwrite(str(data / "SYSU-MM01" / name), np.full((40, 20, 3), 90, np.uint8))
    mended = run(data)
    assert (len(mended.store.records), mended.bad, mended.copied) == (72, [], 69)


def test_all_bad_is_refused_even_with_skip_bad(data: Path) -> None:
    for path in (data / "SYSU-MM01").glob("cam*/*/*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image can be read") as error:
        run(data, skip_bad=True)
    assert "and 52 more" in error.value.hint


def test_a_missing_file_is_bad_too(data: Path) -> None:
    link = data / "SYSU-MM01" / "cam1" / "0001" / "0004.jpg"
    link.symlink_to(data / "nowhere.jpg")
    with pytest.raises(DataError, match=r"cam1/0001/0004.jpg: does not exist"):
        run(data)


def test_two_processes_do_not_write_one_store(data: Path) -> None:
    with (
        locked(data / "prepared" / "sysu"),
        pytest.raises(DataError, match=rf"another process \(process id {os.getpid()}\)"),
    ):
        run(data)
    assert run(data).images == 72


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot write")]
)
def test_a_full_or_read_only_disk_is_reported(
    data: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pixel_writer, "reserve", refuse)
    with pytest.raises(DataError, match=message) as error:
        run(data)
    assert "data directory" in error.value.hint
    assert not (data / "prepared" / "sysu" / "store.json").exists()


def test_a_disk_that_fills_up_on_the_way_is_continued_later(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, seen = pixel_writer.PixelWriter.write, []

    def fill_up(self: pixel_writer.PixelWriter, *row: object) -> None:
        seen.append(row)
        if len(seen) > 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *row)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pixel_writer.PixelWriter, "write", fill_up)
        with pytest.raises(DataError, match="no space left"):
            run(data)
    assert run(data).resumed == 40


def test_space_is_taken_before_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    pixel_writer.reserve(path, (100, 32, 16, 3))
    assert np.load(path, mmap_mode="r").shape == (100, 32, 16, 3)
    if hasattr(os, "posix_fallocate"):
        assert path.stat().st_blocks * 512 >= 100 * 32 * 16 * 3


def test_thread_counts_are_as_before(sysu_tree: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    prepare("sysu", sysu_tree / "SYSU-MM01", tmp_path, (32, 16), workers=2)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before

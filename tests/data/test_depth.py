"""16-bit images: one measured range a modality, recorded, used by every reader; EXIF of an own folder."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.arrays import read_image
from tests.data.trees import write_folder, write_image, write_regdb
from vireid_cli.data.choices import Choices
from vireid_cli.data.decode import FULL, Decoder
from vireid_cli.data.depth import decoder_of_files, parse_depth, range_of_counts
from vireid_cli.data.fill import decode_files
from vireid_cli.data.identity import find_people, marks
from vireid_cli.data.prepare import Prepared, add_size, prepare
from vireid_cli.data.resize import resize
from vireid_cli.data.store import Store, open_store
from vireid_cli.data.verify import verify
from vireid_cli.engine.occlusion import occlude
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import image_files, read_row
from vireid_cli.errors import UsageError
from vireid_cli.occlusion.library import record_of, write_library
from vireid_cli.types import Modality

SIZE = (32, 16)


def counts_of(values: dict[int, int]) -> np.ndarray:
    counts = np.zeros(65_536, np.int64)
    for value, count in values.items():
        counts[value] = count
    return counts


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    values = np.random.default_rng(0).integers(7_200, 8_700, 20_000)
    low, high = range_of_counts(np.bincount(values, minlength=65_536))
    expected = np.sort(values)[[int(np.ceil(0.001 * 20_000)) - 1, int(np.ceil(0.999 * 20_000)) - 1]]
    assert (low, high) == tuple(expected)


def test_missing_and_saturated_pixels_do_not_stretch_the_range() -> None:
    counts = counts_of({0: 500, 65_535: 500, 7_201: 400, 8_001: 400})
    assert range_of_counts(counts) == (7_201, 8_001)


@pytest.mark.parametrize(
    "values",
    [
        {257 * level: 1 for level in range(40)},  # dark, but 8 bits in disguise
        {256 * level: 1 for level in range(40)},
        dict.fromkeys(range(100, 65_000, 7), 1),
        {5_001: 10},
        {},
    ],
)
def test_images_of_the_whole_range_keep_it(values: dict[int, int]) -> None:
    assert range_of_counts(counts_of(values)) == FULL


@pytest.mark.parametrize("text", ["", "half", "9000:7000", "7:7", "-1:5", "1:65536", "1:2:3", "²:9", "0x1:9"])
def test_another_form_of_the_rule_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected auto, full or LOW:HIGH"):
        parse_depth(text)
    assert parse_depth("auto") is None
    assert parse_depth("full") == FULL
    assert parse_depth("7000:9000") == (7_000, 9_000)


def thermal(grey: np.ndarray) -> np.ndarray:
    return grey.astype(np.uint16) * 6 + 7_200


def make_thermal(root: Path, ending: str = ".png") -> None:
    """Replace each infrared image by one of 16 bits with counts from 7,200 to 8,730."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and "infrared" in path.parts:
            grey = read_image(path, cv2.IMREAD_GRAYSCALE)
            path.unlink()
            assert cv2.imwrite(str(path.with_suffix(ending)), thermal(grey))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "own")
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        write_image(path, 1_000 + number)  # no two files alike: none can be copied from another
    return root


def run(root: Path, size: tuple[int, int] = SIZE, **choices: object) -> Prepared:
    return prepare("folder", root, root.parent / "data", size, choices=Choices(**choices))  # type: ignore[arg-type]


def infrared_rows(done: Prepared) -> np.ndarray:
    images = done.store.images(SIZE)
    assert images is not None
    return images[done.store.records.modalities == Modality.INFRARED.code]


@pytest.mark.parametrize("ending", [".png", ".tif", ".TIFF"])
def test_thermal_counts_keep_their_grey_levels(root: Path, ending: str) -> None:
    make_thermal(root, ending)
    done = run(root)
    values = np.concatenate([samples_of(root / path) for path in infrared_paths(done)])
    low, high = done.store.info.decoder.infrared or FULL
    assert (low, high) == tuple(
        np.sort(values)[np.ceil(len(values) * np.array([0.001, 0.999])).astype(int) - 1]
    )
    assert len(np.unique(infrared_rows(done))) > 100
    first = infrared_paths(done)[0]
    scaled = np.clip(np.rint((samples_of(root / first).astype(float) - low) * 255 / (high - low)), 0, 255)
    np.testing.assert_array_equal(infrared_rows(done)[0, :, :, 0].ravel(), scaled)
    assert done.report is not None
    assert any("infrared images of 16 bits" in note for note in done.report.notes)


def infrared_paths(done: Prepared) -> list[str]:
    table = done.store.records
    return table.paths[table.modalities == Modality.INFRARED.code].tolist()


def samples_of(path: Path) -> np.ndarray:
    return read_image(path, cv2.IMREAD_UNCHANGED).ravel()


def test_modalities_have_ranges_of_their_own(root: Path) -> None:
    make_thermal(root)
    for path in root.glob("*/visible/*/*.png"):
        cv2.imwrite(str(path), read_image(path).astype(np.uint16) * 257)
    decoder = run(root).store.info.decoder
    assert decoder.visible == FULL
    assert decoder.infrared not in (None, FULL)


def test_the_rule_is_recorded_and_distinguishes_stores(root: Path) -> None:
    plain = run(root).store
    assert plain.info.decoder == Decoder(upright=True)
    make_thermal(root)
    auto, full = run(root), run(root, depth="full")
    assert len(np.unique(infrared_rows(full))) <= 8
    fixed = run(root, depth="7000:9000")
    prints = [done.store.info.fingerprint for done in (auto, full, fixed)]
    assert len({plain.info.fingerprint, *prints}) == 4
    assert fixed.store.info.decoder.infrared == (7_000, 9_000)
    assert json.loads((fixed.store.folder / "store.json").read_text())["decoder"]["infrared"] == [
        7_000,
        9_000,
    ]
    assert "16-bit infrared 7000:9000" in marks(fixed.store)["decoding"]
    assert full.copied == 14  # the visible half
    assert verify(open_store(root.parent / "data", "folder")) == []


def test_a_store_keeps_its_rule_until_another_is_named(root: Path) -> None:
    make_thermal(root)
    first = run(root, depth="7000:9000")
    repeated = run(root)
    assert (repeated.store.info, repeated.resumed, repeated.rate) == (first.store.info, 28, 0.0)
    assert run(root, size=(24, 12)).store.sizes == [(24, 12), SIZE]
    assert add_size(repeated.store, (40, 20)).store.info.decoder == first.store.info.decoder
    assert run(root, depth="auto").store.info.decoder.infrared != (7_000, 9_000)


def test_new_images_are_measured_again_and_known_ones_are_not(root: Path) -> None:
    make_thermal(root)
    before = run(root).store.info.decoder
    extra = np.full((32, 16), 9_501, np.uint16)
    extra[0] = 9_502
    cv2.imwrite(str(root / "train" / "infrared" / "1" / "c9_9.png"), extra)
    after = run(root).store.info.decoder
    assert before.infrared is not None
    assert after.infrared is not None
    assert after.infrared[1] > before.infrared[1]


def test_a_store_of_an_earlier_version_is_measured_when_prepared_again(root: Path) -> None:
    make_thermal(root)
    folder = run(root, depth="full", upright=False).store.folder
    content = json.loads((folder / "store.json").read_text())
    del content["decoder"], content["sha256"]
    (folder / "store.json").write_text(json.dumps(content))
    assert open_store(root.parent / "data", "folder").info.decoder.depth == ""
    assert run(root).store.info.decoder.infrared not in (None, FULL)


def test_figures_see_the_pixels_of_the_store(root: Path) -> None:
    make_thermal(root)
    run(root, depth="7100:8800")
    people = find_people("folder", root.parent / "data")
    store = open_store(root.parent / "data", "folder")
    images = store.images(SIZE)
    assert images is not None
    for row in range(len(people.records)):
        np.testing.assert_array_equal(resize(read_row(people, row), SIZE, "lanczos"), images[row])


def test_files_named_by_hand_share_a_range(root: Path) -> None:
    make_thermal(root)
    files = sorted(root.glob("query/infrared/4/*.png"))
    decoder = decoder_of_files(files)
    values = np.concatenate([samples_of(path) for path in files])
    assert decoder.infrared == range_of_counts(np.bincount(values, minlength=65_536))
    shown = image_files(files, [None] * len(files))[0].pixels()
    assert len(np.unique(shown)) > 40
    assert decode_files(files, SIZE).max() <= 8_730 >> 8


def test_an_occluded_tree_keeps_its_base_s_range(tmp_path: Path) -> None:
    root = write_regdb(tmp_path / "data" / "RegDB")
    for path in root.glob("Thermal/*/*.bmp"):
        png = cv2.imencode(".png", thermal(read_image(path, cv2.IMREAD_GRAYSCALE)))[1]
        path.write_bytes(png.tobytes())  # the lists name these files
    base = prepare("regdb", root, tmp_path / "data", SIZE).store
    things = []
    for name in ("a", "b"):
        cutout = np.full((40, 30, 4), 255, np.uint8)
        things.append((record_of(name, name, "suitcase"), cutout))
    library = tmp_path / "things"
    write_library(library, "two", things)
    occlude(
        "regdb",
        Session.choose("cpu", data_dir=tmp_path / "data"),
        workers=1,
        root=tmp_path / "occluded",
        library=library,
    )
    store = prepare("occ-regdb", tmp_path / "occluded", tmp_path / "data", SIZE).store
    assert store.info.decoder == base.info.decoder
    assert base.info.decoder.infrared not in (None, FULL)
    same = (np.asarray(store.images(SIZE)) == np.asarray(base.images(SIZE))[rows_of(base, store)]).all(
        axis=(1, 2, 3)
    )
    thermal_rows = store.records.modalities == Modality.INFRARED.code
    assert same[thermal_rows].any()
    with pytest.raises(UsageError, match="have no effect on"):
        prepare("occ-regdb", tmp_path / "occluded", tmp_path / "data", SIZE, choices=Choices(depth="full"))


def rows_of(base: Store, store: Store) -> np.ndarray:
    where = {path: i for i, path in enumerate(base.records.paths.tolist())}
    return np.array([where[path] for path in store.records.paths.tolist()])


def turn(path: Path) -> None:
    image = Image.open(path).convert("RGB")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


def test_exif_is_obeyed_for_an_own_folder_and_can_be_switched_off(root: Path) -> None:
    path = root / "train" / "visible" / "1" / "c3_0.png"
    before = np.asarray(Image.open(path).convert("RGB"))
    turn(path)
    row = run(root).store.records.paths.tolist().index("train/visible/1/c3_0.png")
    turned = np.ascontiguousarray(np.rot90(before, -1))
    np.testing.assert_array_equal(
        np.asarray(open_store(root.parent / "data", "folder").images(SIZE))[row],
        resize(turned, SIZE, "lanczos"),
    )
    off = run(root, upright=False)
    np.testing.assert_array_equal(np.asarray(off.store.images(SIZE))[row], before)
    assert off.copied == 27  # only the turned image is decoded again
    assert run(root).store.info.decoder.upright is False  # as the store has it


def test_published_datasets_are_left_as_stored(tmp_path: Path) -> None:
    root = write_regdb(tmp_path / "RegDB")
    path = next(root.glob("Visible/1/*.bmp"))
    before = np.asarray(Image.open(path))
    image, exif = Image.fromarray(before), Image.Exif()
    exif[0x0112] = 6
    image.save(path, "PNG", exif=exif)
    done = prepare("regdb", root, tmp_path / "data", SIZE)
    row = done.store.records.paths.tolist().index(path.relative_to(root).as_posix())
    np.testing.assert_array_equal(np.asarray(done.store.images(SIZE))[row], before)
    obeyed = prepare("regdb", root, tmp_path / "data", SIZE, choices=Choices(upright=True))
    assert obeyed.store.info.decoder.differences == ["EXIF orientation obeyed"]
    assert not np.array_equal(np.asarray(obeyed.store.images(SIZE))[row], before)

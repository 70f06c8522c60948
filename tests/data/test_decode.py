"""Encoded images: the same pixels as Pillow's, whole files taken, cut ones and other forms refused."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from vireid_cli.data.decode import FULL, BadImage, Decoder, decode, load, samples
from vireid_cli.data.formats import inspect
from vireid_cli.types import Modality

RANDOM = np.random.default_rng(0)
PHOTO = Image.fromarray(cv2.resize(RANDOM.integers(0, 256, (20, 10, 3), dtype=np.uint8), (20, 40)))
COUNTS = RANDOM.integers(0, 65_536, (40, 20), dtype=np.uint16)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def of_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA").convert("RGB"))


def restarts(image: Image.Image) -> bytes:
    return cv2.imencode(".jpg", np.asarray(image), [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()


def with_thumbnail(data: bytes) -> bytes:
    """The JPEG with another one inside an EXIF segment."""
    inner = encoded(PHOTO.resize((8, 8)), "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(inner) + 8) + b"Exif\0\0" + inner + data[2:]


WHOLE = {
    "jpeg": encoded(PHOTO, "JPEG"),
    "progressive": encoded(PHOTO, "JPEG", progressive=True),
    "restart marks": restarts(PHOTO),
    "grey jpeg": encoded(PHOTO.convert("L"), "JPEG"),
    "cmyk jpeg": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "thumbnail": with_thumbnail(encoded(PHOTO, "JPEG")),
    "png": encoded(PHOTO, "PNG"),
    "1 bit png": encoded(PHOTO.convert("1"), "PNG"),
    "palette png": encoded(PHOTO.convert("P"), "PNG"),
    "opaque palette": encoded(PHOTO.quantize(16), "PNG", transparency=b"\xff" * 16),
    "opaque png": encoded(PHOTO.convert("RGBA"), "PNG"),
    "bmp": encoded(PHOTO, "BMP"),
    "1 bit bmp": encoded(PHOTO.convert("1"), "BMP"),
    "palette bmp": encoded(PHOTO.convert("P"), "BMP"),
    "32 bit bmp": encoded(PHOTO.convert("RGBA"), "BMP"),
    "tiff": encoded(PHOTO, "TIFF"),
    "lzw tiff": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
    "big tiff": encoded(PHOTO, "TIFF", big_tiff=True),
    "fax tiff": encoded(PHOTO.convert("1"), "TIFF", compression="group4"),
    "palette tiff": encoded(PHOTO.convert("P"), "TIFF"),
    "cmyk tiff": encoded(PHOTO.convert("CMYK"), "TIFF"),
    "opaque tiff": encoded(PHOTO.convert("RGBA"), "TIFF"),
    "webp": encoded(PHOTO, "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_pixels_are_pillow_s(name: str) -> None:
    ours = decode(WHOLE[name]).astype(int)
    np.testing.assert_allclose(ours, of_pillow(WHOLE[name]), atol=1)  # rounding of YCbCr and CMYK


FILM = b"\0\0\0\x18ftypmp42" + bytes(range(200)) + b"\xff\xda\0\x01" + bytes(50) + b"\xff\xd8\xff\xe0\xff\xd9"


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("behind", [b"\0" * 40, FILM, WHOLE["jpeg"], WHOLE["png"]], ids=range(4))
def test_bytes_behind_the_end_do_not_matter(name: str, behind: bytes) -> None:
    np.testing.assert_array_equal(decode(WHOLE[name] + behind), decode(WHOLE[name]))


@pytest.mark.parametrize(
    "name", ["jpeg", "progressive", "restart marks", "thumbnail", "png", "bmp", "tiff", "webp"]
)
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    data = WHOLE[name]
    for kept in range(0, len(data), max(1, len(data) // 97)):
        with pytest.raises(BadImage):
            decode(data[:kept])
    with pytest.raises(BadImage, match="truncated"):
        decode(data[:-1])


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png"])
def test_a_cut_file_is_refused_whatever_follows(name: str) -> None:
    for kept in (len(WHOLE[name]) // 2, len(WHOLE[name]) * 3 // 4):
        for behind in (bytes(4096), FILM, WHOLE["jpeg"]):
            with pytest.raises(BadImage):
                decode(WHOLE[name][:kept] + behind)


def test_the_first_picture_of_an_mpo_is_the_image() -> None:
    data = encoded(PHOTO, "MPO", save_all=True, append_images=[PHOTO.rotate(180)])
    np.testing.assert_allclose(decode(data).astype(int), of_pillow(data), atol=1)


@pytest.mark.parametrize("field", [0, 2, 10_000_000])
def test_the_size_field_of_a_bmp_does_not_matter(field: int) -> None:
    data = bytearray(WHOLE["bmp"])
    struct.pack_into("<I", data, 2, field)
    np.testing.assert_array_equal(decode(bytes(data)), np.asarray(PHOTO))


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(WHOLE["png"])
    data[len(data) // 2] ^= 4
    with pytest.raises(BadImage, match="checksum of chunk IDAT"):
        decode(bytes(data))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_on_request_only(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PHOTO, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    np.testing.assert_allclose(Decoder(upright=True).decode(data).astype(int), upright, atol=1)
    stored = PHOTO if form != "JPEG" else Image.open(io.BytesIO(encoded(PHOTO, "JPEG")))
    np.testing.assert_allclose(Decoder().decode(data).astype(int), np.asarray(stored), atol=1)
    assert Decoder().mark(inspect(data), None) == ""
    assert bool(Decoder(upright=True).mark(inspect(data), None)) == (orientation != 1)


def cv(ending: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


def grey16(form: str) -> bytes:
    if form == "TIFF of the other byte order":
        return encoded(Image.frombytes("I;16B", (20, 40), COUNTS.astype(">u2").tobytes()), "TIFF")
    return encoded(Image.fromarray(COUNTS), form)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "TIFF of the other byte order"])
def test_samples_of_16_bits_are_read_exactly(form: str) -> None:
    data = grey16(form)
    np.testing.assert_array_equal(samples(data, inspect(data)), COUNTS)
    np.testing.assert_array_equal(decode(data), np.repeat((COUNTS >> 8)[..., None], 3, axis=2))
    assert decode(data).dtype == np.uint8


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_colours_of_16_bits_are_read_exactly(ending: str) -> None:
    pixels = RANDOM.integers(0, 65_536, (10, 8, 3), dtype=np.uint16)
    np.testing.assert_array_equal(decode(cv(ending, pixels)), pixels[..., ::-1] >> 8)


def test_a_tiff_of_16_bits_with_white_zero_is_inverted() -> None:
    data = bytearray(encoded(Image.fromarray(COUNTS), "TIFF"))
    entries = struct.unpack_from("<H", data, struct.unpack_from("<I", data, 4)[0])[0]
    first = struct.unpack_from("<I", data, 4)[0] + 2
    at = next(
        first + 12 * k for k in range(entries) if struct.unpack_from("<H", data, first + 12 * k)[0] == 262
    )
    struct.pack_into("<H", data, at + 8, 0)
    np.testing.assert_array_equal(samples(bytes(data), inspect(bytes(data))), 65_535 - COUNTS)


def test_the_range_of_a_modality_is_scaled_linearly_and_clipped() -> None:
    counts = np.array([[0, 7_000, 7_500, 8_000, 65_535]], np.uint16)
    data = encoded(Image.fromarray(counts), "PNG")
    decoder = Decoder(infrared=(7_000, 8_000))
    assert decoder.decode(data, Modality.INFRARED)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert decoder.decode(data, Modality.VISIBLE)[0, :, 0].tolist() == [0, 27, 29, 31, 255]
    assert decoder.mark(inspect(data), Modality.INFRARED) == " range 7000:8000"
    assert decoder.mark(inspect(WHOLE["png"]), Modality.INFRARED) == ""


ALPHA = PHOTO.convert("RGBA")
ALPHA.putalpha(Image.fromarray((COUNTS >> 8).astype(np.uint8)))
REFUSED = {
    "floating": (encoded(Image.fromarray(COUNTS.astype(np.float32)), "TIFF"), "floating-point 32-bit"),
    "signed 16": (cv(".tiff", COUNTS.astype(np.int16)), "signed 16-bit"),
    "signed 32": (encoded(PHOTO.convert("L").convert("I"), "TIFF"), "signed 32-bit"),
    "two pages": (encoded(PHOTO, "TIFF", save_all=True, append_images=[PHOTO]), "2 pages"),
    "animated png": (encoded(PHOTO, "PNG", save_all=True, append_images=[PHOTO.rotate(90)]), "2 frames"),
    "animated webp": (encoded(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(90)]), "animated"),
    "gif": (encoded(PHOTO.convert("P"), "GIF"), "a GIF file"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "a JPEG 2000 file"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC file"),
    "alpha png": (encoded(ALPHA, "PNG"), "transparent"),
    "alpha tiff": (encoded(ALPHA, "TIFF"), "transparent"),
    "alpha webp": (encoded(ALPHA, "WEBP", lossless=True), "transparent"),
    "alpha palette": (encoded(PHOTO.quantize(4), "PNG", transparency=b"\0\xff\xff\xff"), "transparent"),
    "text": (b"<html>not found</html>", "not an image"),
    "empty": (b"", "empty file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_forms_are_refused_with_the_reason(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(BadImage, match=reason):
        decode(data)


def huge_png() -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(1 << 20))
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, body, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def huge_jpeg() -> bytes:
    data = bytearray(WHOLE["jpeg"])
    frame = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, 30_000, 30_000)
    return bytes(data)


def huge_tiff() -> bytes:
    data = bytearray(WHOLE["lzw tiff"])
    first = struct.unpack_from("<I", data, 4)[0] + 2
    for at in range(first, first + 24, 12):
        if struct.unpack_from("<H", data, at)[0] in (256, 257):
            struct.pack_into("<I", data, at + 8, 30_000)
    return bytes(data)


@pytest.mark.parametrize("make", [huge_png, huge_jpeg, huge_tiff])
def test_a_header_that_claims_too_many_pixels_is_refused_at_once(make: Callable[[], bytes]) -> None:
    data, began = make(), time.perf_counter()
    with pytest.raises(BadImage, match=r"30000x30000 pixels; the limit is 134 million"):
        decode(data)
    assert time.perf_counter() - began < 2


def test_no_damage_ends_in_another_error() -> None:
    random = np.random.default_rng(7)
    for data in WHOLE.values():
        for _ in range(6):
            changed = np.frombuffer(data, np.uint8).copy()
            changed[random.integers(0, min(len(data), 300), 3)] = random.integers(0, 256, 3)
            try:
                assert decode(changed.tobytes()).dtype == np.uint8
            except BadImage:
                continue


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadImage, match="named pipe"):
        load(tmp_path / "pipe.jpg")
    with pytest.raises(BadImage, match="does not exist"):
        load(tmp_path / "gone.jpg")
    assert FULL == (0, 65_535)


def test_little_memory_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV gives up without a reason; the image must not be reported, or left out, as unreadable."""
    data = cv2.imencode(".png", np.zeros((4, 3, 3), np.uint8))[1].tobytes()
    header = inspect(data)
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: None)
    with pytest.raises(BadImage):
        samples(data, header)

    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", short)
    with pytest.raises(MemoryError):
        samples(data, header)

"""Person, camera and modality in the names of files and folders.

Recognised names:

* person: the folder of the image, if its name is a number (SYSU-MM01 ``cam1/0001/``, RegDB ``Visible/1/``,
  LLCM ``vis/0351/``, a folder of one's own ``visible/7/``); otherwise the file name
  ``0002_c1s1_000451_03.jpg`` of Market-1501.
* camera: a folder ``cam3``; or ``c3`` in the file name, between the beginning or ``_`` and ``_`` or ``s``
  (``c3_0001.jpg``, ``0001_c01_s185535_f7010_vis.jpg``, ``0002_c1s1_000451_03.jpg``).
* modality: a folder with one of the names in ``WORDS``, such as ``vis`` or ``Thermal``; an ending such as
  ``test_nir`` counts, too. Camera numbers alone never decide the modality: camera 3 of another system is
  not an infrared camera.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from vireid_cli.data.ids import parse_id
from vireid_cli.embedding_files.rows import UNKNOWN
from vireid_cli.types import Modality

WORDS = {
    "visible": Modality.VISIBLE,
    "vis": Modality.VISIBLE,
    "rgb": Modality.VISIBLE,
    "infrared": Modality.INFRARED,
    "thermal": Modality.INFRARED,
    "nir": Modality.INFRARED,
    "ir": Modality.INFRARED,
}
"""Names of folders that state a modality, in lower case."""

_FOLDER = re.compile(r"cam(?:era)?[_-]?([0-9]{1,6})", re.IGNORECASE)
_IN_FILE = re.compile(r"(?:^|_)c(?:am)?([0-9]{1,6})(?=_|s[0-9])", re.IGNORECASE)
_MARKET = re.compile(r"([0-9]{1,9})_c[0-9]{1,6}s[0-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NameFacts:
    """Facts in the names of an image; see the module.

    Attributes:
        pid: Person number, or ``UNKNOWN``.
        camid: Camera number, or ``UNKNOWN``.
        modality: Modality, or None if unknown.
    """

    pid: int
    camid: int
    modality: Modality | None


class NameReader:
    """Reads names of images; the facts of each folder are read once.

    Args:
        above: Names of the folders above the root, the outermost first; they may have a camera or a modality
            (``SYSU-MM01/cam3`` as root), never a person.
    """

    def __init__(self, above: tuple[str, ...] = ()) -> None:
        outer = _of_folders(above, NameFacts(UNKNOWN, UNKNOWN, None))
        self._outer = replace(outer, pid=UNKNOWN)
        self._folders: dict[str, NameFacts] = {"": self._outer}

    def facts(self, path: str) -> NameFacts:
        """Return the facts in a path with forward slashes, relative to the root."""
        folder, _, name = path.rpartition("/")
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = _of_folders(tuple(folder.split("/")), self._outer)
        camera, person = _IN_FILE.search(name), _MARKET.match(name)
        camid = int(camera[1]) if camera else known.camid
        pid = int(person[1]) if person and known.pid == UNKNOWN else known.pid
        return NameFacts(pid, camid, known.modality)


def _of_folders(names: tuple[str, ...], outer: NameFacts) -> NameFacts:
    """Facts in the names of folders, the outermost first; inner ones replace outer ones."""
    pid, camid, modality = UNKNOWN, outer.camid, outer.modality
    for name in names:
        camera = _FOLDER.fullmatch(name)
        number = parse_id(name)
        word = re.split(r"[_-]", name.lower())[-1]
        pid = UNKNOWN if number is None else number
        camid = int(camera[1]) if camera else camid
        modality = WORDS.get(word, modality)
    return NameFacts(pid, camid, modality)

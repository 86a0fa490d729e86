"""Members of ZIP archives, for engines that cannot open a ZIP themselves.

Answers for the cheapest honest way from a ZIP to what an engine reads: inflated with ISA-L, or the deflated bytes as
they are, in a gzip frame. Knows nothing of engines.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from isal import isal_zlib

Result = TypeVar("Result")

# Local file header of a ZIP up to the two lengths that tell where the data starts.
_LOCAL_HEADER = struct.Struct("<26xHH")
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_RAW_DEFLATE = -15


def archives_of(folder: Path) -> list[Path]:
    """All ZIPs of a folder, in the order of their names."""
    return sorted(folder.glob("*.zip"))


def deflated(path: Path) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """The members of an archive with their bytes as they lie in it."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_DEFLATED:
                raise ValueError(f"{path.name}: member {info.filename} is not deflated")
            file.seek(info.header_offset)
            name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            file.seek(info.header_offset + _LOCAL_HEADER.size + name + extra)
            yield info, file.read(info.compress_size)


def inflated(path: Path) -> Iterator[bytes]:
    """The members of an archive as text."""
    for info, raw in deflated(path):
        yield isal_zlib.decompress(raw, _RAW_DEFLATE, info.file_size)


def unzip(path: Path, folder: Path) -> None:
    """Writes each member as a file of its own; the archive's name comes first, so that names stay apart."""
    for number, text in enumerate(inflated(path)):
        (folder / f"{path.name}.{number}.json").write_bytes(text)


def rewrap(path: Path, folder: Path) -> None:
    """Writes each member as a gzip file, without inflating it."""
    for number, (info, raw) in enumerate(deflated(path)):
        with (folder / f"{path.name}.{number}.json.gz").open("wb") as file:
            file.write(_GZIP_HEADER)
            file.write(raw)
            file.write(struct.pack("<II", info.CRC, info.file_size & 0xFFFF_FFFF))


def on_all_cores(work: Callable[[Path], Result], paths: Sequence[Path], threads: int) -> list[Result]:
    """Does the same to many paths; reading, inflating and writing leave Python's lock."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, paths))


def fresh_folder(path: Path) -> Path:
    """An empty folder of this name."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path

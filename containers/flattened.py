"""An image as Lambda has it: its layers flattened into one ext4 file system on a block device, whose chunks of 512 KiB are fetched
when they are first read (Brooker et al., "On-demand Container Loading in AWS Lambda", USENIX ATC 2023)."""

import ctypes
import fcntl
import json
import mmap
import os
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import podman
from .image import part_of
from .tools import run

CHUNK = 512 * 1024
"""Bytes that are fetched at a time."""
BLOCK = 4096
READ_AHEAD = 128 * 1024
"""Bytes that Linux reads at a time by default. Some machines' disks are set to more, with which more chunks would be counted."""

_FIEMAP = 0xC020660B
"""The request for a file's extents: FS_IOC_FIEMAP of ``linux/fs.h``; the structures are those of ``linux/fiemap.h``."""
_EXTENTS = 512


class Read(NamedTuple):
    """What was read of a file or a part of the image."""

    size: int
    """Bytes."""
    chunks: int


@dataclass(frozen=True)
class FlattenedImage:
    """A mounted device; :func:`flatten` makes one."""

    root: Path
    """Where it is mounted, read-only."""
    options: list[str]
    """Options of ``podman run`` with which a container runs from :attr:`root` as it would from the image."""

    @property
    def name(self) -> str:
        """The argument of ``podman run`` after :attr:`options`."""
        return f"{self.root}:O"

    def read(self) -> dict[str, Read]:
        """What is in the page cache of the files, by their path in the image. A chunk with several files counts for the one of which it has
        most. The file system's own blocks are not seen here."""
        pages: Counter[str] = Counter()
        chunks: dict[int, Counter[str]] = {}
        for path in _regular_files(self.root):
            name = str(path.relative_to(self.root))
            for position in _resident(path, path.stat().st_size):
                pages[name] += 1
                chunks.setdefault(position // CHUNK, Counter())[name] += 1
        counts = Counter(files.most_common(1)[0][0] for files in chunks.values())
        return {name: Read(count * mmap.PAGESIZE, counts[name]) for name, count in pages.items()}


def by_part(files: dict[str, Read]) -> dict[str, Read]:
    """The same by part of the image (:data:`containers.image.PARTS`)."""
    parts: dict[str, Read] = {}
    for name, read in files.items():
        before = parts.get(part_of(name), Read(0, 0))
        parts[part_of(name)] = Read(before.size + read.size, before.chunks + read.chunks)
    return parts


@contextmanager
def flatten(image: str) -> Iterator[FlattenedImage]:
    """Make and mount the device of an image. Needs root.

    Raises:
        ToolError: a command failed.
    """
    config = json.loads(podman.run("image", "inspect", image))[0]["Config"]
    options = [
        *(f"--env={variable}" for variable in config["Env"]),
        f"--workdir={config['WorkingDir']}",
        f"--entrypoint={json.dumps([*config['Entrypoint'], *config['Cmd']])}",
        "--rootfs",
    ]
    with tempfile.TemporaryDirectory() as folder:
        file, root = Path(folder, "image.ext4"), Path(folder, "root")
        root.mkdir()
        source = Path(podman.run("image", "mount", image).strip())
        try:
            entries = [Path(folder, name) for folder, folders, files in os.walk(source) for name in (*folders, *files)]
            blocks = sum(-(-path.lstat().st_size // BLOCK) for path in entries)
            # As compact as ext4 can be, since nothing is written later: a tenth more blocks, an inode for each file.
            made = ["-b", BLOCK, "-m", 0, "-N", len(entries) + 64, "-O", "^has_journal", "-E", "packed_meta_blocks=1"]
            run(["mkfs.ext4", "-q", *map(str, made), "-d", source, file, str(blocks * 11 // 10)])
        finally:
            podman.run("image", "unmount", image)
        device = Path(run(["losetup", "--find", "--show", "--read-only", file]).strip())
        try:
            run(["blockdev", "--setra", str(READ_AHEAD // 512), device])
            run(["mount", "--options", "ro,noatime", device, root])
            try:
                yield FlattenedImage(root, options)
            finally:
                run(["umount", root])
        finally:
            run(["losetup", "--detach", device])


def _regular_files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                yield path


def _resident(path: Path, size: int) -> Iterator[int]:
    """The positions on the device of the file's pages that are in the page cache."""
    cached = list(_cached(path))
    if not cached:
        return
    request = bytearray(struct.pack("=QQLLLL", 0, size, 0, 0, _EXTENTS, 0) + bytes(56 * _EXTENTS))
    with path.open("rb") as file:
        fcntl.ioctl(file, _FIEMAP, request)
    count = struct.unpack_from("=QQLLLL", request)[3]
    extents = [struct.unpack_from("=QQQ", request, 32 + 56 * index) for index in range(count)]
    for position in cached:
        for start, physical, length in extents:
            if start <= position < start + length:
                yield physical + position - start


def _cached(path: Path) -> Iterator[int]:
    """The positions of the pages of a file that are in the page cache (mincore(2))."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        with mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as mapped:
            vector = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
            address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), vector):
                raise OSError(ctypes.get_errno(), "mincore", str(path))
            return iter([index * mmap.PAGESIZE for index, state in enumerate(vector) if state & 1])

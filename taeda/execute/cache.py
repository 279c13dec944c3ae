"""The on-disk cache of generated code.

An entry is one file: a header with a checksum, a JSON record and the object bytes. Entries appear atomically (written
beside, synced, renamed), so readers in other processes see whole entries or none. Anything wrong with an entry means a
miss, and anything wrong with the directory means no cache: neither stops the program.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import stat
import struct
import time
import warnings

_MAGIC = b"TAEDAOB1"
_HEADER = struct.Struct("<8s32sIQ")  # magic, sha256 of the rest, bytes of the record, bytes of the object
_SUFFIX = ".tdo"
#: Total size of entries above which the oldest are removed.
DEFAULT_LIMIT = 512 << 20
_STALE_SECONDS = 3600


def default_directory() -> pathlib.Path | None:
    """$TAEDA_CACHE_DIR (empty: no cache), or ~/.cache/taeda."""
    chosen = os.environ.get("TAEDA_CACHE_DIR")
    if chosen is not None:
        return pathlib.Path(chosen) if chosen else None
    try:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    except RuntimeError:
        return None
    return pathlib.Path(base) / "taeda"


class ObjectCache:
    """Object code by key text."""

    def __init__(self, directory: pathlib.Path | None, limit: int = DEFAULT_LIMIT):
        self.directory, self.limit = directory, limit
        self._writes = 0
        self._warned = False

    def _path(self, key: str) -> pathlib.Path:
        assert self.directory is not None
        return self.directory / (hashlib.sha256(key.encode()).hexdigest()[:40] + _SUFFIX)

    def get(self, key: str) -> tuple[dict, bytes] | None:
        """The record and object stored under `key`; None if there is none, or it is damaged (it is removed then)."""
        if self.directory is None:
            return None
        path = self._path(key)
        try:
            # Not blocking: what lies there may be a pipe that nobody writes to.
            with open(
                os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb"
            ) as file:
                info = os.fstat(file.fileno())
                # Code of another user is not run (root's is: it may come with a machine image).
                if hasattr(os, "geteuid") and info.st_uid not in (os.geteuid(), 0):
                    return None
                content = file.read() if stat.S_ISREG(info.st_mode) and info.st_size <= self.limit else b""
        except OSError:
            return None
        entry = self._decode(key, content)
        if entry is None:
            with contextlib.suppress(OSError):
                path.unlink()
        return entry

    @staticmethod
    def _decode(key: str, content: bytes) -> tuple[dict, bytes] | None:
        if len(content) < _HEADER.size:
            return None
        magic, checksum, record_bytes, object_bytes = _HEADER.unpack_from(content)
        body = memoryview(content)[_HEADER.size :]
        if magic != _MAGIC or record_bytes + object_bytes != len(body) or hashlib.sha256(body).digest() != checksum:
            return None
        try:
            record = json.loads(bytes(body[:record_bytes]))
        except ValueError:
            return None
        if not isinstance(record, dict) or record.get("key") != hashlib.sha256(key.encode()).hexdigest():
            return None
        return record, bytes(body[record_bytes:])

    def put(self, key: str, data: bytes, record: dict | None = None) -> None:
        """Stores an object. A full or unwritable disk costs one warning and the entry."""
        if self.directory is None:
            return
        text = json.dumps({**(record or {}), "key": hashlib.sha256(key.encode()).hexdigest()}).encode()
        body = text + data
        content = _HEADER.pack(_MAGIC, hashlib.sha256(body).digest(), len(text), len(data)) + body
        path = self._path(key)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with open(partial, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.unlink()
                raise
            self._writes += 1
            if self._writes % 64 == 1:
                self.evict()
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"taeda: compiled kernels cannot be kept in {self.directory} ({error.strerror or error}); they are "
                    "compiled again in the next process. Set TAEDA_CACHE_DIR to a writable directory, or to nothing to "
                    "silence this.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def evict(self) -> None:
        """Removes the oldest entries until the rest fit in the limit, and leftovers of interrupted writes."""
        if self.directory is None:
            return
        entries = []
        now = time.time()
        with os.scandir(self.directory) as listing:
            for item in listing:
                with contextlib.suppress(OSError):
                    info = item.stat(follow_symlinks=False)
                    if item.name.endswith(_SUFFIX):
                        entries.append((info.st_mtime, info.st_size, item.path))
                    elif item.name.endswith(".tmp") and now - info.st_mtime > _STALE_SECONDS:
                        os.unlink(item.path)
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size

"""The on-disk cache: round trip, damage, disks that refuse, eviction, and that a hit needs no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings

import pytest
from harness import HOST_LEVELS, ROOT

from taeda.execute import cache as cache_
from taeda.execute.cache import ObjectCache, default_directory


def entries(directory):
    return sorted(p for p in directory.iterdir() if p.suffix == ".tdo")


def test_round_trip(tmp_path):
    cache = ObjectCache(tmp_path / "new" / "cache")
    assert cache.get("a") is None
    cache.put("a", b"object of a", {"note": 1})
    cache.put("b", b"")
    record, data = cache.get("a")
    assert data == b"object of a" and record["note"] == 1 and cache.get("b")[1] == b""
    assert ObjectCache(cache.directory).get("a")[1] == b"object of a"
    cache.put("a", b"other")
    assert cache.get("a")[1] == b"other" and len(entries(cache.directory)) == 2
    assert not [p for p in cache.directory.iterdir() if p.suffix == ".tmp"]
    assert (cache.directory.stat().st_mode & 0o077) == 0


def test_every_damage_is_a_miss(tmp_path):
    cache = ObjectCache(tmp_path)
    cache.put("k", b"0123456789" * 5)
    (path,) = entries(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        assert cache.get("k") is None, at
        assert not path.exists()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert cache.get("k") is None
    path.write_bytes(whole + b"x")
    assert cache.get("k") is None
    cache.put("k", b"again")
    assert cache.get("k")[1] == b"again"


def test_an_entry_answers_to_its_own_key_only(tmp_path):
    cache = ObjectCache(tmp_path)
    cache.put("a", b"code of a")
    (path,) = entries(tmp_path)
    cache._path("b").write_bytes(path.read_bytes())
    assert cache.get("b") is None and cache.get("a")[1] == b"code of a"


def test_a_disk_that_refuses_costs_one_warning(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache = ObjectCache(tmp_path)
    cache.put("kept", b"x")
    with monkeypatch.context() as patch:
        patch.setattr(cache_.os, "fsync", full)
        with pytest.warns(RuntimeWarning, match=r"cannot be kept in .*No space left on device.*TAEDA_CACHE_DIR"):
            cache.put("a", b"x")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cache.put("b", b"x")
    assert cache.get("a") is None and cache.get("kept")[1] == b"x"
    assert [p.suffix for p in tmp_path.iterdir()] == [".tdo"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        ObjectCache(blocked / "under").put("a", b"x")
    assert ObjectCache(None).get("a") is None
    ObjectCache(None).put("a", b"x")


def test_oldest_go_first(tmp_path):
    cache = ObjectCache(tmp_path, limit=3500)
    for number in range(6):
        cache.put(str(number), b"x" * 800)
        os.utime(cache._path(str(number)), (1000 + number, 1000 + number))
    stale, fresh = tmp_path / ".a.tmp", tmp_path / ".b.tmp"
    stale.write_text("")
    os.utime(stale, (1000, 1000))
    fresh.write_text("")
    cache.evict()
    assert [cache.get(str(n)) is not None for n in range(6)] == [False, False, False, True, True, True]
    assert not stale.exists() and fresh.exists()


def test_writers_and_readers_at_once(tmp_path):
    seen = []

    def work(number):
        cache = ObjectCache(tmp_path)
        for _ in range(30):
            cache.put("k", bytes([number]) * 5000)
            found = cache.get("k")
            seen.append(found is not None and len(set(found[1])) == 1)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(seen)


def test_directory_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TAEDA_CACHE_DIR", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.setenv("TAEDA_CACHE_DIR", "")
    assert default_directory() is None
    monkeypatch.delenv("TAEDA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "taeda"


RESOLVE = """
import sys, types
package = types.ModuleType("taeda"); package.__path__ = [{package!r}]; sys.modules["taeda"] = package
sys.path.insert(0, {tests!r})
core = types.ModuleType("taeda._core")
package._core = sys.modules["taeda._core"] = core
import harness_light as light
core.cpu_level = lambda: {level!r}
core.load_object = light.load
from taeda.execute.resolve import resolve
first = resolve("map/add/f32,f32/f32")
assert resolve("map/add/f32,f32/f32") == first
print("llvmlite" in sys.modules, light.describe(first))
"""
LIGHT = """
import ctypes
dll = ctypes.CDLL({library!r})
dll.shim_load.restype = dll.shim_address.restype = ctypes.c_void_p
dll.shim_load.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
dll.shim_address.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
def load(data):
    error = ctypes.create_string_buffer(512)
    handle = dll.shim_load(data, len(data), error, 512)
    if not handle: raise RuntimeError(error.value.decode())
    return {{n: dll.shim_address(handle, n.encode()) for n in ("k", "k_kernel")}}
def describe(address):
    fn, partial, finish = (ctypes.c_void_p * 3).from_address(address)
    return bool(fn), partial, finish, list((ctypes.c_uint32 * 6).from_address(address + 24))
"""


def test_a_hit_imports_no_llvm_and_damage_is_rebuilt(tmp_path):
    """`resolve` in fresh processes: compiles once, then loads; a damaged entry is compiled again."""
    from harness import shim

    (tmp_path / "harness_light.py").write_text(LIGHT.format(library=shim()._name))
    script = RESOLVE.format(package=str(ROOT / "taeda"), tests=str(tmp_path), level=HOST_LEVELS[0])
    store = tmp_path / "cache"

    def run() -> str:
        environment = {**os.environ, "TAEDA_CACHE_DIR": str(store)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    cold, hit = run(), run()
    assert cold.startswith("True (True, None, None, [0, 1, 2, 0, 0, ") and hit == cold.replace("True", "False", 1)
    (entry,) = entries(store)
    content = bytearray(entry.read_bytes())
    content[-100] ^= 1
    entry.write_bytes(content)
    assert run() == cold and run() == hit

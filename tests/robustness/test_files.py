"""Files that are hostile, half written or cannot be written: a clear error or a fresh start, and nothing on disk is lost."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import taeda
from taeda.execute.cache import _HEADER, ObjectCache

ROOT = Path(__file__).resolve().parents[2]
GUARD = 120  # seconds until a hang counts as one


def child(code: str, *arguments: object, cache: object = "") -> subprocess.Popen:
    environment = {**os.environ, "TAEDA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen) -> tuple[str, str]:
    out, err = process.communicate(timeout=GUARD)
    assert process.returncode == 0, err
    return out, err


# -- saved state -------------------------------------------------------------------------------------------------------
def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def structured(record: object) -> bytes:
    return safetensors({"__metadata__": {"taeda.structure": json.dumps(record)}})


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "nothing": b"",
    "endless header": safetensors({}, length=2**63 - 1),
    "header beyond the file": safetensors({}, length=100),
    "no JSON": safetensors(b"{" * 50),
    "deep JSON": safetensors(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "no text": safetensors(b"\xff\xfe" * 8),
    "a list": safetensors([1, 2]),
    "offsets overlap": safetensors({"a": F32, "b": F32}, bytes(8)),
    "offsets backwards": safetensors({"a": {**F32, "data_offsets": [8, 0]}}, bytes(8)),
    "offsets beyond": safetensors({"a": {**F32, "data_offsets": [0, 2**62]}}, bytes(8)),
    "shape and bytes differ": safetensors({"a": {**F32, "shape": [3]}}, bytes(8)),
    "shape overflows": safetensors({"a": {**F32, "shape": [2**62, 2**62]}}, bytes(8)),
    "negative shape": safetensors({"a": {**F32, "shape": [-2]}}, bytes(8)),
    "unknown dtype": safetensors({"a": {**F32, "dtype": "F7"}}, bytes(8)),
    "bytes left over": safetensors({"a": F32}, bytes(80)),
    "checksums are no table": safetensors({"__metadata__": {"taeda.crc32": "[1]"}, "a": F32}, bytes(8)),
    "checksum differs": safetensors({"__metadata__": {"taeda.crc32": '{"a": 1}'}, "a": F32}, bytes(8)),
    "structure is no JSON": safetensors({"__metadata__": {"taeda.structure": "{"}}),
    "structure names a missing tensor": structured({"t": "absent"}),
    "structure names a function": structured({"d": "save"}),
    "structure names nothing": structured({"d": "no such thing"}),
    "structure of an unknown kind": structured({"x": 1}),
    "structure is a list": structured([1]),
    "structure is a number": structured(1),
    "structure without a kind": structured({}),
    "structure with a number as a list": structured({"l": 3}),
    "structure with a float in decimals": structured({"f": 0.5}),
    "structure with a list as a key": structured({"m": [[{"l": []}, {"v": 1}]]}),
    "structure with a tensor's name as a list": structured({"t": []}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_states_are_refused(name, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(RuntimeError, match="load"):
        taeda.load(path)
    assert path.read_bytes() == HOSTILE[name]


def test_other_formats_are_refused(tmp_path):
    import pickle
    import zipfile

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(RuntimeError, match="not a readable safetensors file"):
        taeda.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)
    with pytest.raises(RuntimeError, match="not a readable safetensors file"):
        taeda.load(path)
    with pytest.raises(IsADirectoryError):
        taeda.load(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_failing_system_calls_keep_the_old_file(call, tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    taeda.save({"a": taeda.ones(3)}, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    if call == "write":
        from taeda.utils import files

        class Full:
            def __init__(self, *args):
                self.file = open(*args)  # noqa: SIM115

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            write = full

        monkeypatch.setattr(files, "open", Full, raising=False)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left on device"):
        taeda.save({"a": taeda.zeros(3)}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


SAVE_FOREVER = """
import sys, taeda
states = [{"a": taeda.full((1 << 18,), float(k)), "step": k} for k in range(8)]
k = 0
while True:
    taeda.save(states[k % 8], sys.argv[1])
    k += 1
    print(k)
"""


def test_killed_while_saving(tmp_path):
    path = tmp_path / "state.safetensors"
    r = random.Random(0)
    for _ in range(4):
        process = child(SAVE_FOREVER, path)
        for _ in range(r.randrange(1, 6)):
            assert process.stdout.readline()
        threading.Event().wait(r.random() * 0.01)  # somewhere amid the next
        process.kill()
        process.communicate(timeout=GUARD)
        assert process.returncode == -signal.SIGKILL
        state = taeda.load(path)
        assert (state["a"] == state["step"]).all()


# -- saved programs ----------------------------------------------------------------------------------------------------
def test_damaged_programs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "program"
    model = taeda.nn.Linear(2, 3)
    traced = taeda.jit.trace(model, (taeda.ones(1, 2),))
    taeda.jit.save(traced, path)
    x = taeda.randn(4, 2)
    assert taeda.equal(taeda.jit.load(path)(x), model(x))
    whole = path.read_bytes()
    r = random.Random(2)
    for at in [*range(0, len(whole), 7), *(r.randrange(len(whole)) for _ in range(100))]:
        path.write_bytes(whole[:at])
        with pytest.raises(RuntimeError, match="load"):
            taeda.jit.load(path)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            again = taeda.jit.load(path)
        except RuntimeError as error:
            assert "load" in str(error)
        else:  # the byte meant nothing
            assert taeda.equal(again(x), model(x))
    state = taeda.load(path) if path.write_bytes(whole) else {}
    for key in state:
        taeda.save({k: v for k, v in state.items() if k != key}, path)
        with pytest.raises(RuntimeError, match="not a saved traced function"):
            taeda.jit.load(path)
        taeda.save({**state, key: 3}, path)
        with pytest.raises(RuntimeError, match="not a saved traced function"):
            taeda.jit.load(path)
    taeda.save({**state, "tensors": {k: t[:1] for k, t in state["tensors"].items()}}, path)
    with pytest.raises(RuntimeError):
        taeda.jit.load(path)(x)
    path.write_bytes(whole)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        taeda.jit.save(taeda.jit.trace(lambda x: x + 1, (x,)), path)
    assert path.read_bytes() == whole


# -- the kernel cache --------------------------------------------------------------------------------------------------
WORK = """
import sys, warnings
warnings.simplefilter("always")
import taeda
from taeda import nn
taeda.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
x = taeda.randn(4, 5)
answer = model(x).sum().item().hex(), taeda.compile(model)(x).sum().item().hex()
print(*answer, "llvmlite" in sys.modules)
"""


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """What the program prints, and a cache that it has filled."""
    cache = tmp_path_factory.mktemp("cache")
    out, err = finish(child(WORK, cache=cache))
    assert err == ""
    values = out.split()[:2]
    assert values[0] == values[1]
    return values, cache


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.tdo"))


def test_processes_fill_one_cache_at_once(answer, tmp_path):
    values, filled = answer
    crowd = [child(WORK, cache=tmp_path / "new" / "cache") for _ in range(3)]
    assert [finish(p) for p in crowd] == [(" ".join(values) + " True\n", "")] * 3
    out, err = finish(child(WORK, cache=tmp_path / "new" / "cache"))
    assert (out, err) == (" ".join(values) + " False\n", "")  # nothing was left to compile
    assert [p.name for p in entries(tmp_path / "new" / "cache")] == [p.name for p in entries(filled)]
    assert not list((tmp_path / "new" / "cache").glob("*.tmp"))


@pytest.mark.parametrize("where", ["under a file", "no such device", "a full disk", "read only"])
def test_caches_that_cannot_be_written(where, answer, tmp_path):
    values, _ = answer
    program, cache = WORK, tmp_path / "cache"
    if where == "under a file":
        cache.write_text("")
        cache = cache / "below"
    elif where == "no such device":
        cache = Path("/proc/none/cache")
    elif where == "a full disk":
        program = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n" + WORK
    else:  # as root, permissions stop nobody
        program = (
            "import os\nreal = os.replace\ndef refuse(*_): raise OSError(30, 'Read-only file system')\nos.replace = refuse\n"
            + WORK
        )
    out, err = finish(child(program, cache=cache))
    assert out == " ".join(values) + " True\n"
    assert err.count("compiled kernels cannot be kept in") == 1 and "TAEDA_CACHE_DIR" in err
    assert "Traceback" not in err
    if where in ("a full disk", "read only"):
        assert os.listdir(cache) == []


def damaged(kind: str, path: Path) -> None:
    content = path.read_bytes()
    magic, _, record_bytes, _ = _HEADER.unpack_from(content)
    record = content[_HEADER.size :][:record_bytes]
    code = content[_HEADER.size + record_bytes :]

    def store(record: bytes, code: bytes, magic: bytes = magic) -> None:
        body = record + code  # with a checksum that is right
        path.write_bytes(
            _HEADER.pack(magic, hashlib.sha256(body).digest(), len(record), len(body) - len(record)) + body
        )

    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "altered":
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no object":
        store(record, b"\x7fELF" + b"\xff" * 300)
    elif kind == "half an object":
        store(record, code[: len(code) // 2])
    elif kind == "no code":
        store(record, b"")
    elif kind == "record of another type":
        store(b"[1]", code)
    elif kind == "another version":
        store(record, code, b"TAEDAOB0")
    elif kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif kind == "endless file":
        path.unlink()
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    elif kind == "link to itself":
        path.unlink()
        path.symlink_to(path)


@pytest.mark.parametrize(
    "kind",
    [
        "truncated", "altered", "empty", "no object", "half an object", "no code", "record of another type", "another version", "pipe",
        "endless file", "link to itself",
    ],
)  # fmt: skip
def test_damaged_caches_are_filled_again(kind, answer, tmp_path):
    values, filled = answer
    cache = tmp_path / "cache"
    shutil.copytree(filled, cache)
    names = [p.name for p in entries(cache)]
    for path in entries(cache):
        damaged(kind, path)
    assert finish(child(WORK, cache=cache)) == (" ".join(values) + " True\n", "")
    assert finish(child(WORK, cache=cache)) == (" ".join(values) + " False\n", "")
    assert [p.name for p in entries(cache)] == names


def test_entries_that_are_folders_cost_a_warning(answer, tmp_path):
    values, filled = answer
    for path in entries(filled):
        (tmp_path / path.name).mkdir()
    out, err = finish(child(WORK, cache=tmp_path))
    assert out == " ".join(values) + " True\n" and err.count("cannot be kept") == 1


def test_killed_while_compiling(answer, tmp_path):
    values, _ = answer
    code = WORK.replace("answer =", "print('here'); answer =")
    r = random.Random(1)
    for _ in range(4):
        process = child(code, cache=tmp_path)
        assert process.stdout.readline() == "here\n"
        threading.Event().wait(r.random() * 0.15)
        process.kill()
        process.communicate(timeout=GUARD)
        cache = ObjectCache(tmp_path)
        for path in entries(tmp_path):  # whole entries or none
            content = path.read_bytes()
            assert _HEADER.unpack_from(content)[1] == hashlib.sha256(content[_HEADER.size :]).digest()
        cache.evict()
    out, err = finish(child(WORK, cache=tmp_path))
    assert out.split()[:2] == values and err == ""


# -- exports -----------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_failed_exports_leave_the_earlier_one(tmp_path, monkeypatch):
    from taeda.export.toolchain import ExportError

    model, example = taeda.nn.Linear(2, 3), (taeda.ones(1, 2),)
    taeda.export.build(model, example, tmp_path, weights="safetensors")

    def contents():
        return {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    before = contents()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with taeda.no_grad():
        model.weight.zero_()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(shutil, "copyfileobj", full)
        taeda.export.build(model, example, tmp_path, weights="safetensors")
    assert contents() == before
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(shutil, "copytree", full)
        taeda.export.build(model, example, tmp_path, weights="safetensors")
    assert contents() == before
    with monkeypatch.context() as patch, pytest.raises(ExportError, match="failed"):
        patch.setenv("CC", "false")
        taeda.export.build(model, example, tmp_path, weights="safetensors")
    assert contents() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        taeda.export.build(model, example, tmp_path / "file")

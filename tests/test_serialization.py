"""save and load: round trips, damage, full disks."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

import taeda

DTYPES = [
    taeda.bool,
    taeda.uint8,
    taeda.int8,
    taeda.int16,
    taeda.int32,
    taeda.int64,
    taeda.float16,
    taeda.bfloat16,
    taeda.float32,
    taeda.float64,
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(path, dtype):
    t = (taeda.arange(6).reshape(2, 3) % 2).to(dtype)
    taeda.save({"t": t, "empty": taeda.zeros(0, 3)}, path)
    back = taeda.load(path)
    assert back["t"].dtype == dtype and back["t"].shape == (2, 3)
    assert (back["t"] == t).all()
    assert back["empty"].shape == (0, 3)


def test_nested_state(path):
    state = {
        "step": 3,
        "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "name": "a", "none": None}],
        "by number": {0: taeda.ones(2)},
    }
    taeda.save(state, path)
    back = taeda.load(path)
    assert back["groups"] == state["groups"] and back["step"] == 3
    assert back["by number"][0].tolist() == [1.0, 1.0]


def test_other_readers_open_it(path):
    from safetensors.numpy import load_file

    taeda.save({"a": taeda.arange(4)}, path)
    assert load_file(str(path))["a"].tolist() == [0, 1, 2, 3]


def test_non_contiguous_and_file_objects():
    buffer = io.BytesIO()
    t = taeda.arange(6).reshape(2, 3).transpose(0, 1)
    taeda.save({"t": t}, buffer)
    buffer.seek(0)
    assert (taeda.load(buffer)["t"] == t).all()


def test_truncation_is_refused_at_every_length(path):
    taeda.save({"a": taeda.ones(5), "n": taeda.zeros(3)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(RuntimeError, match="not a readable safetensors file"):
            taeda.load(path)


def test_altered_bytes_are_refused_or_harmless(path):
    state = {"a": taeda.arange(5).float(), "b": {"x": 1}}
    taeda.save(state, path)
    whole = path.read_bytes()
    refused = 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x41]) + whole[i + 1 :])
        try:
            taeda.load(path)
        except RuntimeError:
            refused += 1
    assert refused > 0.8 * len(whole)
    path.write_bytes(whole[:-3] + b"\x01" + whole[-2:])
    with pytest.raises(RuntimeError, match="checksum"):
        taeda.load(path)


def test_values_that_are_not_state(path):
    with pytest.raises(TypeError, match="cannot save function"):
        taeda.save({"f": lambda: 0}, path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        taeda.load(path)


def test_full_disk_keeps_the_old_file(path):
    taeda.save({"a": taeda.ones(3)}, path)
    before = path.read_bytes()
    program = (
        "import resource, signal, sys, taeda\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    taeda.save({'a': taeda.ones(100000)}, sys.argv[1])\n"
        "except OSError as error:\n    print('refused', error.errno)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, env=environment)
    assert out.stdout.startswith("refused"), out.stderr
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]

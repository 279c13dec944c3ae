"""Exports: a C++ program without Python computes eager's bits, for sizes that were not in the example; bad input is
refused."""

import ctypes
import shutil
import struct
import subprocess

import pytest

import taeda as td
import taeda.nn.functional as F
from taeda import export, nn

compiler = shutil.which("c++") or shutil.which("g++")
pytestmark = pytest.mark.skipif(compiler is None, reason="no C++ compiler")


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(12, 32), nn.LayerNorm(32), nn.Linear(32, 5)
        self.register_buffer("scale", td.tensor([2.0]))

    def forward(self, x):
        h = self.norm(F.gelu(self.first(x)))
        return self.second(h).softmax(-1) * self.scale, h.argmax(-1)


MAIN = r"""
#include "mlp.hpp"
#include <cstdio>
#include <fstream>
int main(int argc, char **argv) {
  mlp::Model model(argc > 3 ? argv[3] : nullptr);
  std::ifstream in(argv[1], std::ios::binary);
  std::int64_t sizes[3];
  in.read(reinterpret_cast<char *>(sizes), sizeof sizes);
  std::vector<float> x(sizes[0] * sizes[1] * sizes[2]);
  in.read(reinterpret_cast<char *>(x.data()), x.size() * sizeof(float));
  try {
    auto [y, k] = model.run(mlp::View<float>(x.data(), {sizes[0], sizes[1], sizes[2]}));
    std::ofstream out(argv[2], std::ios::binary);
    out.write(reinterpret_cast<const char *>(y.elements().data()), y.elements().size() * sizeof(float));
    out.write(reinterpret_cast<const char *>(k.data()), k.elements().size() * sizeof(std::int64_t));
    std::printf("%lld %lld %lld\n", (long long)y.size(0), (long long)y.size(1), (long long)y.size(-1));
  } catch (const mlp::Error &e) {
    std::printf("error %d: %s\n", e.code(), e.what());
    return 3;
  }
}
"""


def raw(t):
    t = t.detach().contiguous()
    return ctypes.string_at(t.data_ptr(), t.numel() * t.element_size())


@pytest.fixture(scope="module")
def model():
    td.manual_seed(0)
    return Mlp().eval()


@pytest.fixture(scope="module", params=["embed", "safetensors"])
def program(request, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    done = export.build(model, (td.randn(2, 3, 12),), folder, name="mlp", weights=request.param)
    (folder / "main.cpp").write_text(MAIN)
    subprocess.run(
        [
            compiler,
            "-std=c++17",
            "-Wall",
            "-Wextra",
            "-Werror",
            "main.cpp",
            "-L.",
            "-lmlp",
            "-Wl,-rpath,$ORIGIN",
            "-o",
            "main",
        ],
        cwd=folder,
        check=True,
    )
    return folder, done


def run(folder, done, x):
    (folder / "in.bin").write_bytes(struct.pack("<3q", *x.shape) + raw(x))
    extra = [str(done.weights)] if done.weights else []
    return subprocess.run(
        ["./main", "in.bin", "out.bin", *extra], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_bits_equal_eager_and_sizes_are_free(program, model):
    folder, done = program
    for batch, length in ((2, 3), (1, 1), (7, 40)):
        x = td.randn(batch, length, 12)
        result = run(folder, done, x)
        assert result.returncode == 0, result.stdout + result.stderr
        with td.no_grad():
            y, k = model(x)
        assert (folder / "out.bin").read_bytes() == raw(y) + raw(k)
        assert result.stdout.split() == [str(batch), str(length), "5"]


def test_wrong_sizes_are_refused_with_text(program):
    folder, done = program
    result = run(folder, done, td.randn(2, 3, 11))
    assert result.returncode == 3 and "x0: size of dimension 2 must be 12, got 11" in result.stdout


def test_no_python_is_needed_and_nothing_else_is_visible(program):
    folder, done = program
    needed = (
        subprocess.run(["ldd", "main"], cwd=folder, capture_output=True, text=True).stdout
        + subprocess.run(["ldd", str(done.library)], capture_output=True, text=True).stdout
    )
    assert "python" not in needed.lower() and "libmlp" in needed
    if shutil.which("nm"):
        symbols = subprocess.run(
            ["nm", "-D", "--defined-only", str(done.library)], capture_output=True, text=True
        ).stdout.split()[2::3]
        assert sorted(symbols) == sorted(
            f"mlp_{f}" for f in ("create", "destroy", "run", "free", "error", "seed", "set_threads")
        )


def test_damaged_weights_are_refused(program):
    folder, done = program
    if done.weights is None:
        pytest.skip("weights are embedded")
    good = done.weights.read_bytes()
    state = td.load(done.weights)
    assert sorted(state) == sorted(
        ["first.weight", "first.bias", "norm.weight", "norm.bias", "second.weight", "second.bias", "scale"]
    )
    for bad in (good[:-1], good + b"x", good[:20] + b"!" + good[21:], b""):
        done.weights.write_bytes(bad)
        result = run(folder, done, td.randn(1, 1, 12))
        assert (
            result.returncode != 0 and "weights" in result.stderr + result.stdout
        ) or "truncated" in result.stderr + result.stdout
    done.weights.write_bytes(good)
    assert run(folder, done, td.randn(1, 1, 12)).returncode == 0


def test_random_numbers_and_state_inside(tmp_path):
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", td.zeros(3))

        def forward(self, x):
            self.n += 1
            return F.dropout(x, 0.5) + self.n

    module = Counter()
    export.build(module, (td.ones(4, 3),), tmp_path, name="counter")
    main = r"""
#include "counter.hpp"
#include <cstdio>
int main() {
  counter::Model model;
  std::vector<float> x(6, 1.0f);
  model.seed(7);
  for (int k = 0; k < 3; ++k) {
    auto y = model.run({x.data(), {2, 3}});
    for (float v : y.elements()) std::printf("%a ", v);
  }
}
"""
    (tmp_path / "main.cpp").write_text(main)
    subprocess.run(
        [compiler, "-std=c++20", "main.cpp", "-L.", "-lcounter", "-Wl,-rpath,$ORIGIN", "-o", "main"],
        cwd=tmp_path,
        check=True,
    )
    result = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True)
    got = [float.fromhex(v) for v in result.stdout.split()]
    td.manual_seed(7)
    assert got == [v for _ in range(3) for v in module(td.ones(2, 3)).flatten().tolist()]


def test_refusals(model, tmp_path):
    with pytest.raises(ValueError, match="C identifier"):
        export.build(model, (td.randn(1, 1, 12),), tmp_path, name="2x")
    with pytest.raises(ValueError, match="weights must be"):
        export.build(model, (td.randn(1, 1, 12),), tmp_path, weights="zip")

    def branches(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(RuntimeError, match=r"test_export\.py"):
        export.build(branches, (td.randn(3),), tmp_path)

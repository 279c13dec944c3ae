"""Writes `prebuilt_keys.txt`: the kernels that ship in a wheel.

They are what the core asks for while every operator runs on its samples in the usual dtypes, forward, backward and
backward again, while composites run on common arguments, and while the benchmark's and the demo's models train.

    python tools/prebuild_keys.py           # writes the list
    python tools/prebuild_keys.py --check   # with an installed wheel: fails if it lacks one of these kernels
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Behind an installed taeda, if there is one: --check looks at that.
sys.path += [str(ROOT), str(ROOT / "examples" / "shakespeare")]
KEYS = Path(__file__).with_name("prebuilt_keys.txt")

import numpy  # noqa: E402

import taeda  # noqa: E402
from benchmarks import workloads  # noqa: E402
from taeda._bind import bound  # noqa: E402
from taeda.codegen.spec import CodegenError  # noqa: E402
from taeda.execute.resolve import resolve  # noqa: E402
from taeda.ops.table import TABLE  # noqa: E402
from tests.ops.samples import DTYPES, Maker, convert, is_plain_map, pointwise_sample, samples_of, tensor, with_defaults  # noqa: E402

FLOATS, WHOLE = ("f32", "f64", "bf16", "f16"), ("i64", "i32", "u8", "b1")
REFUSED = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, CodegenError)


def whole(value: object, code: str) -> object:
    """Arrays of floats inside arguments as whole numbers of dtype `code`."""
    if isinstance(value, numpy.ndarray):
        return tensor(numpy.abs(3 * value).astype(DTYPES[code]) if value.dtype.kind == "f" else value)
    if isinstance(value, list):
        return [whole(v, code) for v in value]
    return value


def calls(op) -> Iterator[tuple[list, dict]]:
    """Arguments for an operator: its samples, in the dtypes that programs use most."""
    if is_plain_map(op):
        arrays = pointwise_sample(op, "same", Maker(op.name))
        for code in FLOATS + WHOLE:
            if code not in op.accepts:
                continue
            operands = [tensor(x, code) if code in FLOATS else whole(x, code) for x in arrays]
            yield operands, {}
            if len(operands) == 2 and code != "b1":
                yield [operands[0], 2], {}
    elif op in with_defaults():
        for code in FLOATS:
            yield [tensor(pointwise_sample(op, "same", Maker(op.name))[0], code)], {}
    elif op.samples:
        for code in ("f32", "f64"):
            for args, kwargs in samples_of(op):
                yield [convert(a, code) for a in args], convert(kwargs, code)
        for code in WHOLE:
            for args, kwargs in samples_of(op):
                yield [whole(a, code) for a in args], {k: whole(v, code) for k, v in kwargs.items()}


def tensors(value: object) -> Iterator[taeda.Tensor]:
    if isinstance(value, taeda.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from tensors(v)


def backward(results: object, inputs: Iterable[taeda.Tensor]) -> None:
    """Gradients of the results, and the gradients of those."""
    reached = [y for y in tensors(results) if y.requires_grad]
    if not reached or not inputs:
        return
    first = taeda.autograd.grad(sum(y.sum() for y in reached), inputs, create_graph=True, allow_unused=True)
    second = [g for g in first if g is not None and g.requires_grad]
    if second and all(x.dtype in (taeda.float32, taeda.float64) for x in inputs):
        sum(g.sum() for g in second).backward()


def exercise(op) -> None:
    for args, kwargs in calls(op):
        inputs = []
        if op.grad is not False:
            inputs = [x.requires_grad_() for x in tensors([*args, *kwargs.values()]) if x.is_floating_point()]
        with contextlib.suppress(*REFUSED):  # dtypes the operator refuses
            backward(bound(op.name)(*args, **kwargs), inputs)


#: Composites, random draws and creation on common arguments. x is a 3x4 leaf and v a vector of each float dtype, p has values
#: between 0 and 1, i and j are int64, b is bool.
EXPRESSIONS = """
x.pow(3) | x ** 0.5 | 2 ** x | x.float_power(2) | 1 - x | x.clamp_min(0) | x.clamp_max(0) | x.clamp(-1, 1) | x.nan_to_num()
x.round(decimals=2) | x.round(decimals=-1) | m.allclose(x, x, equal_nan=True) | x.count_nonzero(0) | i.float() / 2 | i / 3 | i // 2
i % 3 | i ** 2 | b.float().mean() | b.sum() | (x > 0).sum() | i + 0.5 | m.isclose(x, x + 1e-9) | m.allclose(x, x) | m.equal(x, x)
m.equal(i, i) | x.isnan().any() | m.isfinite(x).all() | x.unique() | i.unique() | (i == i[0]).all() | m.where(b, x, 0.0)
m.where(b, x, x * 2) | m.where(b, i, 0) | x.masked_fill(b, 0) | x.masked_select(b) | x[b] | x[i[0, :2] % 3] | x[b].sum() | m.nonzero(b)
x.argwhere() | x[0] + x[:, :1] | x.T @ x | i @ i.T | x @ v | v @ v | m.dot(v, v) | m.outer(v, v) | m.einsum("ij,kj->ik", x, x) | x.norm()
x.norm(1) | x.norm(p=3, dim=1) | m.dist(x, x + 1) | x.sum() | x.sum(0) | x.sum(1) | x.mean() | x.mean(0) | x.mean(1, keepdim=True)
x.std() | x.var(0) | x.var(1) | m.var_mean(x, 1) | m.std_mean(x) | x.max() | x.max(0) | x.max(1) | x.min(1) | x.amax() | x.aminmax()
x.argmax() | x.argmax(1) | x.argmin(0) | x.median() | x.median(1) | x.prod() | x.prod(1) | x.logsumexp(0) | x.logsumexp(1) | x.cumsum(0)
x.cumsum(1) | x.cumprod(1) | x.sort() | x.topk(2) | x.argsort() | x.kthvalue(2) | i.sum() | i.sum(0) | i.sum(1) | i.max() | i.max(1)
i.min() | i.argmax(1) | i.prod() | i.cumsum(0) | i.sort() | i.float().mean() | b.any() | b.all() | b.any(1) | b.all(0) | ~b | b & b
b.long().sum() | b.float() | i.bool() | i.double() | x.long() | x.int() | x.bool() | F.softmax(x, 0) | F.softmax(x, 1)
F.log_softmax(x, 0) | F.log_softmax(x, 1) | F.gumbel_softmax(x) | F.softmin(x, 1) | F.layer_norm(x, (4,)) | F.layer_norm(x, (4,), v, v)
F.rms_norm(x, (4,), v) | F.group_norm(x[None], 3) | F.normalize(x) | F.cosine_similarity(x, x * 2)
F.batch_norm(x, None, None, v, v, True) | F.batch_norm(x, v.detach() * 0, v.detach() ** 2, v, v, False) | F.instance_norm(x[None])
F.cross_entropy(x, i[0, :3] % 4) | F.cross_entropy(x, i[0, :3] % 4, label_smoothing=0.1)
F.cross_entropy(x, i[0, :3] % 4, v.detach() ** 2) | F.cross_entropy(x, p) | F.nll_loss(x, i[0, :3] % 4) | F.mse_loss(x, p)
F.l1_loss(x, p) | F.smooth_l1_loss(x, p) | F.huber_loss(x, p) | F.binary_cross_entropy(p, p.detach())
F.binary_cross_entropy_with_logits(x, p.detach()) | F.kl_div(x, p.detach()) | F.soft_margin_loss(x, p.detach())
F.hinge_embedding_loss(x, p.detach()) | F.poisson_nll_loss(x, p.detach()) | F.gaussian_nll_loss(x, p.detach(), p)
F.triplet_margin_loss(x, x + 1, x * 2) | F.margin_ranking_loss(x, x * 2, p.detach())
F.cosine_embedding_loss(x, x + 1, v.detach()[:3].sign()) | F.pairwise_distance(x, x + 1) | m.cdist(x, x + 1) | F.one_hot(i[0] % 4)
F.embedding(i[0] % 3, x) | F.linear(x, x, v[:3]) | F.glu(x) | F.leaky_relu(x) | F.elu(x) | F.selu(x) | F.gelu(x)
F.gelu(x, approximate="tanh") | F.silu(x) | F.mish(x) | F.softplus(x) | F.hardtanh(x) | F.relu6(x) | F.hardswish(x) | F.hardsigmoid(x)
F.softsign(x) | F.tanhshrink(x) | F.softshrink(x) | F.hardshrink(x) | F.threshold(x, 0, 1) | F.prelu(x, v[:1]) | F.logsigmoid(x)
F.celu(x) | F.dropout(x, 0.5) | F.dropout2d(x[None, None], 0.5) | F.pad(x, (1, 1)) | F.pad(x[None], (1, 1), mode="reflect")
F.max_pool1d(x[None], 2) | F.avg_pool1d(x[None], 2) | F.max_pool2d(x[None, None], 2) | F.avg_pool2d(x[None, None], 2)
F.adaptive_avg_pool2d(x[None, None], 1) | F.adaptive_max_pool2d(x[None, None], 2) | F.conv1d(x[None], x[None], v[:1])
F.conv2d(x[None, None], x[None, None, :2, :2], v[:1]) | F.conv_transpose2d(x[None, None], x[None, None, :2, :2])
F.unfold(x[None, None], 2) | F.interpolate(x[None, None], scale_factor=2) | F.scaled_dot_product_attention(x[None], x[None], x[None])
F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True)
F.scaled_dot_product_attention(x[None], x[None], x[None], attn_mask=m.ones(3, 3).bool())
F.scaled_dot_product_attention(x[None], x[None], x[None], attn_mask=m.zeros(3, 3, dtype=x.dtype)) | x.gather(1, i % 4)
x.scatter(1, i % 3, x) | x.scatter_add(0, i % 3, x) | x.index_select(0, i[0] % 3) | x.index_add(0, i[0, :3] % 3, x)
x.take_along_dim(i % 3, 0) | x.tril() | x.triu() | x.diagonal().sum() | m.diag(v) | x.roll(1, 0) | x.flip(0) | x.repeat(2, 1)
x.expand(2, 3, 4).sum() | x.t().contiguous() | m.cat([x, x * 2]) | m.stack([x, x]) | x.split(2) | x.reshape(-1)
m.cross(x[:, :3], x[:, :3]) | m.tril(m.ones(3, 3)) | m.lerp(x, x * 2, 0.5) | m.addcmul(x, x, x) | m.addcdiv(x, x, p)
m.baddbmm(x[None], x[None, :, :3], x[None]) | m.clone(x) | m.zeros_like(x) | m.ones_like(x) | m.full_like(x, 2) | m.rand_like(x)
m.randn_like(x) | m.full((2, 2), 3) | m.full((2,), 1.5) | m.full((2,), True) | m.eye(3) | m.eye(3, dtype=t) | m.eye(3, dtype=m.int64)
m.arange(4) | m.arange(4.0) | m.arange(4, dtype=t) | m.linspace(0, 1, 5) | m.linspace(0, 1, 5, dtype=t) | m.logspace(0, 1, 5)
m.zeros(3, dtype=t) | m.ones(3, dtype=m.int64) | m.tensor([1, 2]) * 1.5 | m.rand(3, dtype=t) | m.randn(3, dtype=t) | m.randint(0, 5, (3,))
m.randint(0, 2, (3,)).bool() | m.randperm(5) | m.normal(0.0, 1.0, (3,)) | m.bernoulli(p.detach()) | m.multinomial(p.detach(), 2)
y.uniform_(-1, 1) | y.normal_() | y.exponential_() | y.bernoulli_(0.5) | y.zero_() | y.fill_(1) | y.mul_(2).add_(1) | y.clamp_(0, 1)
y.copy_(i) | y.relu_() | y.log_normal_() | y.random_(5) | y.sqrt_() | y.trunc_() | m.nn.utils.clip_grad_norm_(g(x), 1.0)
m.nn.utils.clip_grad_value_(g(x), 1.0) | m.nn.init.kaiming_uniform_(y) | m.nn.init.xavier_normal_(y) | m.nn.init.trunc_normal_(y)
m.nn.init.orthogonal_(y) | m.autograd.functional.jacobian(lambda a: a.tanh().sum(), x.detach())
m.autograd.functional.hessian(lambda a: (a ** 3).sum(), x.detach())
""".strip()  # fmt: skip


def with_gradient(x: taeda.Tensor) -> taeda.Tensor:
    leaf = x.detach().requires_grad_()
    leaf.square().sum().backward()
    return leaf


def composites() -> None:
    for t in (taeda.float32, taeda.float64):
        for text in EXPRESSIONS.replace("\n", " | ").split(" | "):
            make = Maker(text)
            data = make(3, 4), make(4), make(3, 4, low=0.0)
            x, v, p = (taeda.from_numpy(a).to(t).requires_grad_() for a in data)
            i = taeda.from_numpy(make.ints(3, 4, high=6))
            names = {
                "m": taeda, "F": taeda.nn.functional, "x": x, "v": v, "p": p, "i": i, "b": i > 2, "t": t, "g": with_gradient,
                "y": taeda.rand(3, 4).to(t) + 0.5,
            }  # fmt: skip
            backward(eval(text, names), [x, v, p])


def train() -> None:
    """A step of each model, with each optimizer."""
    from model import CharGPT

    for build in workloads.WORKLOADS.values():
        step, _ = build(taeda, False)
        step()
    optim = taeda.optim
    for t in (taeda.float32, taeda.float64):
        model = CharGPT(65, 64).to(t)
        for kind, options in (
            (optim.AdamW, {}), (optim.AdamW, {"amsgrad": True}), (optim.Adam, {}), (optim.Adam, {"amsgrad": True}), (optim.SGD, {}),
            (optim.SGD, {"momentum": 0.9}), (optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ):  # fmt: skip
            optimizer = kind(model.parameters(), lr=1e-3, **options)
            ids = taeda.randint(0, 65, (4, 65))
            model.loss(ids[:, :-1], ids[:, 1:]).backward()
            taeda.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.step()


def casts() -> None:
    for a in DTYPES.values():
        for b in DTYPES.values():
            taeda.ones(3).to(getattr(taeda, a)).to(getattr(taeda, b))
    for code in FLOATS:
        square = taeda.ones(2, 2, dtype=getattr(taeda, DTYPES[code]))
        taeda.nn.functional.linear(square @ square, square, square[0]).sum().item()
    str(taeda.randn(3, 3)), str(taeda.arange(3)), str(taeda.ones(3) > 0), str(taeda.randn(2000))  # printing uses some


def main() -> int:
    asked: set[str] = set()

    def record(key: str) -> int:
        address = resolve(key)
        asked.add(key)
        return address

    warnings.simplefilter("ignore")
    taeda._core.set_hook("kernel", record)
    for op in list(TABLE.values()):
        exercise(op)
    composites()
    train()
    casts()
    if "--check" in sys.argv:
        if asked:
            print(
                f"{len(asked)} kernels are not in the wheel (run tools/prebuild_keys.py):", *sorted(asked), sep="\n  "
            )
        return bool(asked)
    KEYS.write_text("# Made by tools/prebuild_keys.py: do not edit.\n" + "".join(f"{k}\n" for k in sorted(asked)))
    print(f"{len(asked)} kernels")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Random tensors. Every op takes its counters from the generator first and is then a pure function of (seed, counter):
the same mask or noise can be computed again from two integers."""

from __future__ import annotations

from . import expr as E
from .creation import _float, _size, _sizes, finish
from .expr import index
from .helpers import product
from .namespace import F
from .scalar import cast, floor, log, normal, philox, select, uniform
from .table import composite, floating, generate, pointwise

_RANDOM = "int[] size, Number seed, Number offset, {}*, dtype? dtype=None"


def _unit(seed, offset, at, dtype="f32"):
    return uniform(seed, offset + at, dtype)


# The generate formulas do not know the storage dtype: half types, which would round values just below 1 up to 1, go
# through _rand_coarse.
generate(
    "_rand32",
    lambda at, seed, offset, low, span: _unit(seed, offset, at) * cast(span, "f32") + cast(low, "f32"),
    _RANDOM.format("Number low, Number span, "),
    types="iidd",
)
generate(
    "_rand64",
    lambda at, seed, offset, low, span: _unit(seed, offset, at, "f64") * span + low,
    _RANDOM.format("Number low, Number span, "),
    types="iidd",
)
generate(
    "_rand_coarse",
    lambda at, seed, offset, low, span, levels: (
        floor(_unit(seed, offset, at) * cast(levels, "f32")) / cast(levels, "f32") * cast(span, "f32")
        + cast(low, "f32")
    ),
    _RANDOM.format("Number low, Number span, Number levels, "),
    types="iiddd",
)
generate(
    "_randn32",
    lambda at, seed, offset, mean, std: normal(seed, offset + at, "f32") * cast(std, "f32") + cast(mean, "f32"),
    _RANDOM.format("Number mean, Number std, "),
    types="iidd",
)
generate(
    "_randn64",
    lambda at, seed, offset, mean, std: normal(seed, offset + at, "f64") * std + mean,
    _RANDOM.format("Number mean, Number std, "),
    types="iidd",
)


def _integer(at, seed, offset, low, span):
    a, b = philox(seed, offset + at)
    return low + (((a & 0x7FFFFFFF) << 32) | b) % span


generate("_randint", _integer, _RANDOM.format("Number low, Number span, "), types="iiii")


def _exponential(at, seed, offset, rate):
    a, b = philox(seed, offset + at)
    u = (cast(a >> 8, "f64") * 2.0**32 + cast(b, "f64") + 1) * 2.0**-56
    return -log(u) / rate


generate("_exponential", _exponential, _RANDOM.format("Number rate, "), types="iid")


def _counters(size, generator=None):
    return F.rng_reserve(product(size), generator)


def _draw(op, size, *numbers, dtype, generator=None):
    """Numbers that generator `op` makes from counters of their own."""

    def fill(size):
        seed, offset = _counters(size, generator)
        return op(size, seed, offset, *numbers, dtype=dtype)

    return F.randomized(fill, size)


def _uniform(size, dtype, low=0.0, high=1.0, generator=None):
    if dtype.is_complex:
        part = dtype.to_real()
        return F.complex(_uniform(size, part, low, high, generator), _uniform(size, part, low, high, generator))
    if dtype is F.float64 or dtype is F.float32:
        op = F._rand64 if dtype is F.float64 else F._rand32
        return _draw(op, size, low, high - low, dtype=dtype, generator=generator)
    if not dtype.is_floating_point:
        raise RuntimeError(f"rand(): needs a floating point dtype, got {dtype}")
    steps = 2048.0 if dtype is F.float16 else 256.0
    return _draw(F._rand_coarse, size, low, high - low, steps, dtype=dtype, generator=generator)


def _gauss(size, dtype, mean=0.0, std=1.0, generator=None):
    if dtype.is_complex:  # the variance is that of the complex number
        part, size = dtype.to_real(), list(size)
        parts = [_gauss(size, part, 0.0, std * 0.5**0.5, generator) for _ in range(2)]
        return F.complex(*parts) + mean if mean else F.complex(*parts)
    if not dtype.is_floating_point:
        raise RuntimeError(f"randn(): needs a floating point dtype, got {dtype}")
    op = F._randn64 if dtype is F.float64 else F._randn32
    return _draw(op, size, mean, std, dtype=dtype, generator=generator)


@composite()
def rand(
    *sizes, size=None, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
):  # fmt: skip
    """Uniform in [0, 1)."""
    values = _uniform(_sizes("rand", sizes, size), _float(dtype), generator=generator)
    return finish(values, "rand", out, device, layout, requires_grad)


@composite()
def randn(
    *sizes, size=None, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
):  # fmt: skip
    """Standard normal."""
    values = _gauss(_sizes("randn", sizes, size), _float(dtype), generator=generator)
    return finish(values, "randn", out, device, layout, requires_grad)


@composite()
def rand_like(input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """rand() of the input's shape and dtype."""
    return finish(
        _uniform(input.shape, dtype or input.dtype, generator=generator),
        "rand_like",
        None,
        device,
        layout,
        requires_grad,
    )


@composite()
def randn_like(input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """randn() of the input's shape and dtype."""
    return finish(
        _gauss(input.shape, dtype or input.dtype, generator=generator),
        "randn_like",
        None,
        device,
        layout,
        requires_grad,
    )


def _range(dtype):
    """The integers that a dtype holds one by one."""
    if dtype is F.bool:
        return 0, 1
    if not dtype.is_floating_point:
        return F.iinfo(dtype).min, F.iinfo(dtype).max
    most = 1 << {F.float16: 11, F.bfloat16: 8, F.float32: 24, F.float64: 53}[dtype]
    return -most, most


def _integers(low, high, size, dtype, op, generator=None):
    if low >= high:
        raise RuntimeError(f"{op}(): from={low} must be less than to={high}")
    least, most = _range(dtype)
    if low < least or high - 1 > most:
        raise RuntimeError(f"{op}(): [{low}, {high}) is out of bounds for {dtype}")
    return _draw(F._randint, size, low, high - low, dtype=dtype, generator=generator)


@composite()
def randint(
    low, high=None, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False
):
    """Uniform integers in [low, high); randint(high, size) starts at 0."""
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint(): missing argument 'size'")
    values = _integers(low, high, _size((size,)), dtype or F.int64, "randint", generator)
    return finish(values, "randint", out, device, layout, requires_grad)


@composite()
def randint_like(
    input, low, high=None, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False,
    memory_format=None,
):  # fmt: skip
    """randint() of the input's shape and dtype."""
    low, high = (0, low) if high is None else (low, high)
    return finish(
        _integers(low, high, input.shape, dtype or input.dtype, "randint_like", generator),
        "randint_like",
        None,
        device,
        layout,
        requires_grad,
    )


@composite()
def randperm(
    n, *, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """A random permutation of 0 .. n-1."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    if dtype is not None and n - 1 > _range(dtype)[1]:
        raise RuntimeError(f"randperm(): {n} is out of bounds for {dtype}")
    keys = _integers(0, 1 << 62, (n,), F.int64, "randperm", generator)
    return finish(F.cast(F.argsort(keys), dtype or F.int64), "randperm", out, device, layout, requires_grad)


@composite("normal")
def normal_values(
    mean, std=1.0, size=None, *, generator=None, out=None, dtype=None, device=None, layout=None, requires_grad=False
):
    """Normal numbers; mean and std may be tensors."""
    tensors = [x for x in (mean, std) if isinstance(x, F.Tensor)]
    if not tensors:
        result = _gauss(_size((size,)), _float(dtype), mean, std, generator)
    else:
        shape = F.broadcast_shapes(*(x.shape for x in tensors))
        result = _gauss(shape, dtype or tensors[0].dtype, generator=generator) * std + mean
    return finish(result, "normal", out, device, layout, requires_grad)


# -- in place ----------------------------------------------------------------------------------------------------------
def _in_place(name, doc):
    def register(make):
        def method(self, *args, generator=None, **kwargs):
            with F.no_grad():
                return self.copy_(make(self, generator, *args, **kwargs))

        method.__name__ = method.__qualname__ = name
        method.__doc__ = doc
        composite(f"_{name}", method=name, function=False)(method)
        return make

    return register


@_in_place("uniform_", "Uniform in [from, to).")
def _uniform_(self, generator, *args, **kwargs):
    # `from` is a keyword of Python, reachable through ** only.
    low = args[0] if args else kwargs.get("from", 0.0)
    high = args[1] if len(args) > 1 else kwargs.get("to", 1.0)
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
    return _uniform(self.shape, self.dtype, low, high, generator)


@_in_place("normal_", "Normal with the given mean and standard deviation.")
def _normal_(self, generator, mean=0.0, std=1.0):
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _gauss(self.shape, self.dtype, mean, std, generator)


@_in_place("log_normal_", "exp of a normal.")
def _log_normal_(self, generator, mean=1.0, std=2.0):
    return F.exp(_gauss(self.shape, self.dtype, mean, std, generator))


@_in_place("exponential_", "Exponential with the given rate.")
def _exponential_(self, generator, lambd=1.0):
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _draw(F._exponential, self.shape, lambd, dtype=self.dtype, generator=generator)


@_in_place("random_", "Uniform integers in [from, to), or over all values of the dtype.")
def _random_(self, generator, low=None, high=None):
    if high is None:
        low, high = 0, low
    if high is None:
        high = _range(self.dtype)[1] + (self.dtype is F.bool)
    return _integers(low or 0, high, self.shape, self.dtype, "random_", generator)


@_in_place("bernoulli_", "1 with probability p, else 0.")
def _bernoulli_(self, generator, p=0.5):
    if not isinstance(p, F.Tensor):
        p = F.full(self.shape, float(p), dtype=F.float32)
    return F.bernoulli(F.expand(p, self.shape), generator=generator)


# -- draws -------------------------------------------------------------------------------------------------------------
pointwise(
    "_bernoulli",
    lambda p, seed, offset: select(uniform(seed, offset + index(), p.dtype) < p, E.const(1, p.dtype), 0),
    types="Tii->T",
    params="Tensor input, Number seed, Number offset",
    grad=False,
    accepts=floating,
    method=False,
    function=False,
)


@composite(method=True, out=True)
def bernoulli(input, p=None, *, generator=None):
    """1 with probability input, else 0."""
    if p is not None:
        return F.empty_like(input).bernoulli_(p, generator=generator)
    if not input.is_floating_point():
        raise RuntimeError(f"bernoulli(): needs floating point probabilities, got {input.dtype}")
    if F.transforming():
        return F.cast(F.lt(F.rand(input.shape, dtype=input.dtype, generator=generator), input), input.dtype)
    if F.values_known() and not bool(F.logical_and(F.ge(input, 0), F.le(input, 1)).all()):
        raise RuntimeError("bernoulli(): expected all probabilities to be in [0, 1]")
    seed, offset = _counters(input.shape, generator)
    return F._bernoulli(input, seed, offset)


@composite(method=True, out=True)
def multinomial(input, num_samples, replacement=False, *, generator=None):
    """Indices drawn from each row of weights. Exponential races: argmin of noise / weight has exactly these
    probabilities.
    """
    if input.dim() not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.is_floating_point():
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    count = input.shape[-1]
    if not replacement and num_samples > count:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    with F.no_grad():
        weights = F.cast(input, F.float64).detach()
        if F.values_known():
            if not bool(((weights >= 0) & (weights < float("inf"))).all()):
                raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
            if not bool((weights.sum(-1) > 0).all()):
                raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        draws = num_samples if replacement and num_samples > 1 else 1
        shape = [*input.shape[:-1], draws, count]
        race = F.unsqueeze(weights, -2) / _draw(F._exponential, shape, 1.0, dtype=F.float64, generator=generator)
        if draws > 1 or num_samples == 1:
            return F.argmax(race, -1)
        return F.topk(F.squeeze(race, -2), num_samples, -1)[1]


@composite(nn=True, function=False)
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """Softmax of the logits plus Gumbel noise; hard: one-hot forward, the soft gradient backward."""
    if not logits.is_floating_point():
        raise RuntimeError(f"gumbel_softmax(): logits must be of a floating point dtype, got {logits.dtype}")
    noise = F.empty_like(logits).exponential_().log()
    soft = F.softmax((logits - noise) / tau, dim)
    if not hard:
        return soft
    index = F.argmax(soft, dim, True)
    picked = F.scatter(F.zeros_like(logits), dim, index, 1.0)
    return picked - soft.detach() + soft

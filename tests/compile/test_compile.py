"""taeda.compile: results, gradients, in-place state and random numbers are those of eager code, bit for bit, for any
sizes."""

import pytest

import taeda as td
import taeda.nn.functional as F
from taeda import nn, optim
from taeda.jit import CaptureError


def same(a, b):
    """Equal in every bit (the sign of zero and NaN included)."""
    if a is None or b is None:
        return a is b
    if tuple(a.shape) != tuple(b.shape) or a.dtype != b.dtype:
        return False
    a, b = a.detach(), b.detach()
    if not a.is_floating_point():
        return bool((a == b).all())
    return bool((((a == b) & (td.signbit(a) == td.signbit(b))) | (td.isnan(a) & td.isnan(b))).all())


def check(fn, *calls):
    """Compares a compiled function with itself in eager mode on several argument lists; returns the compiled one."""
    compiled = td.compile(fn)
    for args in calls:
        td.manual_seed(5)
        want = fn(*args)
        td.manual_seed(5)
        got = compiled(*args)
        for a, b in zip(want if isinstance(want, tuple) else (want,), got if isinstance(got, tuple) else (got,)):
            assert same(a, b)
        assert tuple(got.stride() if not isinstance(got, tuple) else ()) == tuple(
            want.stride() if not isinstance(want, tuple) else ()
        )
    return compiled


def programs(compiled):
    return sum(map(len, compiled.entries.values()))


# -- functions
# -----------------------------------------------------------------------------------------------------------
def test_sizes_are_free():
    c = check(
        lambda x, y: ((x + y) * 2).tanh().softmax(-1),
        *[(td.randn(b, t), td.randn(t)) for b, t in ((3, 5), (7, 2), (1, 300), (2, 1))],
    )
    assert programs(c) <= 2  # a size of 1 that broadcasts may have a program of its own


def test_reductions_keep_their_order():
    def f(x):
        return x.sum(), x.mean((0, 2)), x.var(1), x.amax(-1), x.argmax(), x.sum((0, 2), keepdim=True), x.std()

    check(f, (td.randn(4, 33, 65),), (td.randn(2, 3000, 7),))
    check(f, (td.randn(4, 33, 65).half(),))


def test_long_rows_and_fused_reductions():
    check(lambda x: (x * 2 + 1).exp().sum(), (td.randn(70000),), (td.randn(5),))
    check(lambda x: ((x - x.mean()) / x.std(), x.square().sum().sqrt()), (td.randn(40000),), (td.randn(3, 11),))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes_round_as_eager_does(dtype):
    d = getattr(td, dtype)
    check(
        lambda x, y: ((x * 0.1 + y) * x - y / 3).softmax(-1).to(td.float32), (td.randn(5, 37).to(d), td.randn(37).to(d))
    )


def test_views_and_layouts():
    def f(x):
        a, b = x.chunk(2, -1)
        return (
            (a * b).transpose(0, 1),
            a.permute(2, 0, 1) + 1,
            x[:, 1:, ::2],
            x.reshape(-1, x.shape[-1]) * 2,
            (x.transpose(1, 2) * 2).transpose(1, 2),
        )

    check(f, (td.randn(2, 5, 8),), (td.randn(3, 4, 6),))
    check(lambda x: x.t() * 2, (td.randn(3, 4),))
    check(lambda x: x + 1, (td.randn(4, 3).t(),))


def test_in_place_and_views_of_arguments():
    def f(x, y):
        x[:, 0] = 7
        x[1:].mul_(y)
        x += 1
        return x, x.t()

    a = td.randn(3, 4)
    b = a.clone()
    y = td.randn(4)
    c = td.compile(f)
    for _ in range(2):
        want, got = f(a, y), c(b, y)
        assert got[0] is b and same(a, b) and same(want[1], got[1])
    assert got[1].data_ptr() == b.data_ptr()
    m = td.randn(4, 3).t()
    n = m.clone()
    assert same(f(m, y)[0], c(n, y)[0])


def test_indexing_and_order():
    def f(x, i, w):
        v, k = x.sort(-1)
        y = x.clone()
        y[i] = w
        return (
            x[i],
            x.index_select(1, i),
            v,
            k,
            x.topk(2)[0],
            y,
            td.cat([x, w]),
            x.cumsum(1),
            td.where(x > 0, x, 0.5),
            x.gather(1, k),
        )

    for rows in (4, 6):
        check(f, (td.randn(rows, 5), td.tensor([2, 0, 3]), td.randn(3, 5)))


def test_random_numbers_are_drawn_at_each_call():
    f = td.compile(lambda x: (F.dropout(x, 0.5), td.rand(x.shape[0]), td.randn(3)))
    td.manual_seed(1)
    first, second = f(td.ones(50)), f(td.ones(50))
    td.manual_seed(1)
    again = f.fn(td.ones(50)), f.fn(td.ones(50))
    for a, b in zip((*first, *second), (*again[0], *again[1])):
        assert same(a, b)
    assert not same(first[1], second[1])


def test_nested_results_and_python_values():
    @td.compile
    def f(pair, scale, flag=False):
        a, b = pair
        out = {"sum": a + b, "list": [a * scale, None, "text"], "n": a.shape[0]}
        return out if flag else out["sum"]

    a, b = td.randn(3), td.randn(3)
    assert same(f((a, b), 2.0), a + b)
    got = f((a, b), 3.0, flag=True)
    assert same(got["list"][0], a * 3.0) and got["list"][1:] == [None, "text"]
    assert programs(f) == 2


def test_a_changed_global_recompiles():
    state = {"scale": 2.0}
    factor = 2.0

    def f(x):
        return x * factor

    c = td.compile(f)
    x = td.randn(4)
    assert same(c(x), x * 2.0)
    factor = 3.0
    assert same(c(x), x * 3.0) and programs(c) == 2
    del state


def test_methods_are_guarded_by_what_they_name():
    class Scaler:
        def __init__(self):
            self.scale, self.calls, self.net = 2.0, 0, nn.Linear(3, 2)

        def run(self, x):
            return self.net(x) * self.scale

    s = Scaler()
    c = td.compile(s.run)
    x = td.randn(4, 3)
    for scale in (2.0, 5.0, 2.0):
        s.scale = scale
        s.calls += 1
        assert same(c(x), s.run(x))
    s.net = nn.Linear(3, 2)
    assert same(c(x), s.run(x)) and programs(c) == 3

    class Method:
        factor = 3

        @td.compile
        def apply(self, x):
            return x * self.factor

    a, b = Method(), Method()
    b.factor = 4
    assert same(a.apply(x), x * 3) and same(b.apply(x), x * 4) and same(a.apply(x), x * 3)


def test_branch_on_a_value_names_the_line():
    @td.compile
    def f(x):
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(CaptureError, match=r"test_compile.py:\d+: `if x.sum\(\) > 0:`: .*value"):
        f(td.randn(3))
    with pytest.raises(CaptureError, match="item"):
        td.compile(lambda x: x * x[0].item())(td.randn(3))
    assert td.ones(2).sum().item() == 2  # nothing is left behind


def test_branch_on_a_size_is_a_guard():
    @td.compile
    def f(x):
        return x * 2 if x.shape[0] > 4 else x + 100

    assert same(f(td.ones(3)), td.full((3,), 101.0)) and same(f(td.ones(5)), td.full((5,), 2.0))
    assert programs(f) == 2
    assert same(f(td.ones(9)), td.full((9,), 2.0)) and programs(f) == 2


def test_shape_errors_are_raised_at_capture():
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        td.compile(lambda x, y: x + y)(td.randn(3), td.randn(4))


def test_writing_a_saved_value_is_an_error_in_a_capture_too():
    def f(x):
        y = x.exp()
        y += 1
        y.sum().backward()

    for g in (f, td.compile(f)):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            g(td.randn(3, requires_grad=True))


def by_itself(x, w):
    y = x * 1
    y.mul_(y)  # the factor that is saved is the memory that is written
    return y


def by_its_view(x, w):
    y = x * 1
    y.mul_(y.view(-1))
    return y


def by_a_part(x, w):
    y = x * 1
    y[:2].mul_(y[1:])
    return y


def weight_behind_its_back(x, w):
    y = x * w
    with td.no_grad():
        w[0] = 7.0
    return y


def saved_result(x, w):
    return x.exp().mul_(w).mul_(w)


def allowed(x, w):
    y = x * 1
    y.add_(y)
    y.mul_(w)
    y.mul_(y.detach().clone())
    return y.exp_()


@pytest.mark.parametrize(
    "f", [by_itself, by_its_view, by_a_part, weight_behind_its_back, saved_result, allowed], ids=lambda f: f.__name__
)
def test_in_place_products_of_the_written_memory(f):
    def outcome(run):
        x = td.tensor([1.0, 2.0, 3.0], requires_grad=True)
        w = td.tensor([0.5, -1.0, 2.0], requires_grad=True)
        try:
            run(lambda x: f(x, w))(x).sum().backward()
        except RuntimeError as e:
            return str(e)
        return x.grad.tolist(), w.grad.tolist()

    eager = outcome(lambda g: g)
    assert outcome(td.compile) == eager
    assert isinstance(eager, str) == (f is not allowed)


# -- modules and training
# -----------------------------------------------------------------------------------------------------
class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.first, self.second = nn.Linear(width, 32), nn.Linear(32, 5)
        self.norm, self.drop = nn.LayerNorm(32), nn.Dropout(0.2)
        self.register_buffer("seen", td.zeros(1))

    def forward(self, x):
        self.seen += 1
        return self.second(self.drop(self.norm(F.gelu(self.first(x)))))


def pair(make=Net):
    nets = []
    for _ in range(2):
        td.manual_seed(0)
        nets.append(make())
    return nets


def test_module_with_gradients_outside():
    a, b = pair()
    c = td.compile(b)
    for rows in (4, 9, 4):
        x = td.randn(rows, 16)
        xs = [x.clone().requires_grad_() for _ in range(2)]
        for net, v in zip((a, c), xs):
            td.manual_seed(3)
            net(v).square().sum().backward()
        assert same(xs[0].grad, xs[1].grad)
        assert all(same(p.grad, q.grad) for p, q in zip(a.parameters(), b.parameters()))
        assert same(a.seen, b.seen)
    assert programs(c._compiled) == 1
    for net in (a, b):
        net.eval()
    assert same(a(x), c(x))
    with td.no_grad():
        assert same(a(x), c(x)) and not c(x).requires_grad


def train(net, opt, compile_it, batches, clip=False, schedule=False):
    scheduler = optim.lr_scheduler.CosineAnnealingLR(opt, 10) if schedule else None

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        opt.step()
        return loss.detach()

    run = td.compile(step) if compile_it else step
    losses = []
    td.manual_seed(9)
    for x, y in batches:
        losses.append(run(x, y))
        if scheduler:
            scheduler.step()
    return losses, run


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2, amsgrad=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_whole_training_step(name):
    a, b = pair()
    batches = [(td.randn(n, 16), td.randint(0, 5, (n,))) for n in (8, 8, 3, 20, 8)]
    oa, ob = OPTIMIZERS[name](a.parameters()), OPTIMIZERS[name](b.parameters())
    want, _ = train(a, oa, False, batches, clip=name == "adamw", schedule=name == "adam")
    got, compiled = train(b, ob, True, batches, clip=name == "adamw", schedule=name == "adam")
    assert all(same(x, y) for x, y in zip(want, got))
    for p, q in zip(a.parameters(), b.parameters()):
        assert same(p, q) and same(p.grad, q.grad)
        assert {k: v for k, v in oa.state[p].items() if not isinstance(v, td.Tensor)} == {
            k: v for k, v in ob.state[q].items() if not isinstance(v, td.Tensor)
        }
        assert all(same(v, ob.state[q][k]) for k, v in oa.state[p].items() if isinstance(v, td.Tensor))
    assert same(a.seen, b.seen) and programs(compiled) <= 2


def test_gradients_accumulate_over_calls():
    a, b = pair()

    def run(net):
        def accumulate(x):
            net(x).sum().backward()

        return accumulate

    plain, c = run(a), td.compile(run(b))
    for k in range(3):
        for f in (plain, c):
            td.manual_seed(k)
            f(td.ones(2, 16))
        assert all(same(p.grad, q.grad) for p, q in zip(a.parameters(), b.parameters()))
    assert programs(c) == 2  # with and without gradients to add to


def test_threads_do_not_change_a_bit():
    a, b = pair()
    x, y = td.randn(64, 16), td.randint(0, 5, (64,))
    before = td.get_num_threads()
    try:
        td.set_num_threads(1)
        one, _ = train(a, OPTIMIZERS["adamw"](a.parameters()), True, [(x, y)] * 3)
        td.set_num_threads(2)
        two, _ = train(b, OPTIMIZERS["adamw"](b.parameters()), True, [(x, y)] * 3)
    finally:
        td.set_num_threads(before)
    assert all(same(p, q) for p, q in zip(one, two)) and all(same(p, q) for p, q in zip(a.parameters(), b.parameters()))


def test_replaced_parameter_recompiles():
    net = nn.Linear(3, 2)
    c = td.compile(net)
    x = td.randn(4, 3)
    assert same(c(x), net(x))
    net.weight = nn.Parameter(td.randn(2, 3))
    assert same(c(x), net(x))
    with td.no_grad():
        net.weight.mul_(2)
    assert same(c(x), net(x)) and programs(c._compiled) == 2


def test_explain_says_what_was_done():
    net = Net()
    with td.no_grad():
        text = str(td.explain(td.compile(net), td.randn(4, 16)))
    for part in ("guards:", "Net.training is True", "contract", "_layer_norm", "slot 0:", "compile time"):
        assert part in text


# -- trace
# ----------------------------------------------------------------------------------------------------------------
def test_trace_save_and_load(tmp_path):
    net = Net().eval()
    net.forward = lambda x: net.second(net.norm(F.gelu(net.first(x))))
    traced = td.jit.trace(net.forward, (td.randn(4, 16),))
    x = td.randn(7, 16)
    assert same(traced(x), net.forward(x))
    assert "contract _linear" in traced.code and str(traced.graph) == traced.code
    td.jit.save(traced, tmp_path / "net")
    again = td.jit.load(tmp_path / "net")
    assert same(again(x), net.forward(x))
    with pytest.raises(RuntimeError, match="argument 0 must be"):
        again(td.randn(3))
    td.save({"format": "another"}, tmp_path / "net")
    with pytest.raises(RuntimeError, match="is not a saved traced function"):
        td.jit.load(tmp_path / "net")

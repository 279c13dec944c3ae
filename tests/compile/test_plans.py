"""Plans run through the real code generator and runtime: fused results equal unfused ones and NumPy's."""

import numpy as np
import pytest

import taeda.ops  # noqa: F401
from taeda import ir

from .native import Program


def graph(text):
    g = ir.parse(text)
    ir.verify(g)
    return g


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


SOFTMAX = """graph g(%x: f32[s0, s1], %b: f32[s1]) {
  size s0 = %x 0 hint 4
  size s1 = %x 1 hint 10
  %0: f32[s0, s1] = map add(%x, %b) {codes=("f32", "f32")}
  %1: f32[s0, s1] = map tanh(%0) {codes=("f32",)}
  %2: f32[s0, s1] = rows _softmax(%1) {codes=("f32",)}
  %3: f32[s0] = reduce amax(%2) {begin=1, count=1, stage="first"}
  %4: f32[s0, 1] = view unsqueeze(%3) {offset=<0>, strides=(<1>, <0>)}
  %5: f32[s0, s1] = map div(%2, %4) {codes=("f32", "f32")}
  return %5, %3
}"""


def test_row_chain_is_one_kernel_and_sizes_are_free():
    p = Program(graph(SOFTMAX))
    assert [s.driver for s in p.plan.steps] == ["rows"]
    for rows, columns in ((4, 10), (1, 1), (7, 1000), (0, 5), (3, 20000)):
        x, b = array(rows, columns), array(columns, seed=1)
        status, found = p.run(x, b)
        assert status == 0, found
        e = np.exp(np.tanh(x + b))
        s = e / e.sum(-1, keepdims=True)
        np.testing.assert_allclose(found[0], s / s.max(-1, keepdims=True) if rows else s, rtol=2e-5)


def test_wrong_inputs_are_refused_with_text():
    p = Program(graph(SOFTMAX))
    status, text = p.run(array(3, 4), array(5))
    assert status != 0 and "b: size of dimension 0 must be s1" in text
    status, text = p.run(array(3, 4).astype("float64"), array(4))
    assert status == 5 and "x: expected dtype" in text
    status, text = p.run(array(3), array(4))
    assert status == 3 and "x: expected 2 dimensions, got 1" in text
    status, text = p.run(array(4, 3).T, array(4))
    assert status == 3 and "contiguous" in text


def test_guards_are_checked():
    p = Program(graph(SOFTMAX.replace("  %0:", "  guard s0 <= 5\n  %0:", 1)))
    assert p.run(array(5, 4), array(4))[0] == 0
    status, text = p.run(array(6, 4), array(4))
    assert status == 7 and "s0 <= 5" in text


def test_column_reductions_take_their_producers_and_share_a_pass():
    p = Program(
        graph("""graph g(%x: f32[s0, s1, 8], %y: f32[s0, s1, 8]) {
  size s0 = %x 0 hint 4
  size s1 = %x 1 hint 10
  %0: f32[s0, s1, 8] = map mul(%x, %y) {codes=("f32", "f32")}
  %1: f32[8] = reduce sum(%0) {begin=0, count=2, stage="first"}
  %2: f32[8] = reduce sum(%x) {begin=0, count=2, stage="first"}
  return %1, %2
}""")
    )
    assert [s.driver for s in p.plan.steps] == ["cols"]
    x, y = array(4, 700, 8), array(4, 700, 8, seed=1)
    status, found = p.run(x, y)
    assert status == 0, found
    np.testing.assert_allclose(found[0], (x * y).sum((0, 1)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[1], x.sum((0, 1)), rtol=1e-3, atol=1e-3)


def test_updates_write_in_place_of_their_dying_base():
    p = Program(
        graph("""graph g(%x: f32[s0, 4], %y: f32[s0]) {
  size s0 = %x 0 hint 4
  %0: float = const number() {value=0x1p1}
  %1: f32[s0, 4] = map mul(%x, %0) {codes=("f32", "f32")}
  %2: f32[s0, 4] = update write(%1, %y) {offset=<2>, strides=(<4>,)}
  %3: f32[s0, 4] = update write(%x, %y) {offset=<1>, strides=(<4>,)}
  return %2, %3 -> 0
}""")
    )
    x, y = array(5, 4), array(5, seed=1)
    want = x * 2
    want[:, 2] = y
    want_x = x.copy()
    want_x[:, 1] = y
    status, found = p.run(x, y)
    assert status == 0, found
    assert (found[0] == want).all() and (found[1] == want_x).all() and (x == want_x).all()


def test_write_back_happens_in_the_inputs_memory_when_safe():
    p = Program(
        graph("""graph g(%p: f32[100], %m: f32[100], %g: f32[100]) {
  %0: float = host float() {index=0}
  %1: f32[100] = map mul(%m, %0) {codes=("f32", "f32")}
  %2: f32[100] = map add(%1, %g) {codes=("f32", "f32")}
  %3: f32[100] = map sub(%p, %2) {codes=("f32", "f32")}
  return %3 -> 0, %2 -> 1
}""")
    )
    assert [str(s).split("[")[0] for s in p.plan.steps] == ["map"] and not p.plan.slots
    a, m, g = array(100), array(100, seed=1), array(100, seed=2)
    new_m = m * np.float32(0.5) + g
    new_a = a - new_m
    assert p.run(a, m, g, scalars=[0.5])[0] == 0
    assert (m == new_m).all() and (a == new_a).all()


def test_swapped_write_backs_are_not_mixed_up():
    p = Program(
        graph("""graph g(%a: f32[64], %b: f32[64]) {
  %0: f32[64] = map neg(%a) {codes=("f32",)}
  %1: f32[64] = map exp(%b) {codes=("f32",)}
  return %1 -> 0, %0 -> 1
}""")
    )
    a, b = array(64), array(64, seed=1)
    old_a, old_b = a.copy(), b.copy()
    assert p.run(a, b)[0] == 0
    assert (b == -old_a).all()
    np.testing.assert_allclose(a, np.exp(old_b), rtol=1e-6)


def test_exchanged_inputs():
    p = Program(
        graph("""graph g(%a: f32[64], %b: f32[64], %c: f32[64]) {
  %0: f32[64] = map neg(%c) {codes=("f32",)}
  return %b -> 0, %a -> 1, %0 -> 2
}""")
    )
    a, b, c = array(64), array(64, seed=1), array(64, seed=2)
    old_a, old_b, old_c = a.copy(), b.copy(), c.copy()
    assert p.run(a, b, c)[0] == 0
    assert (a == old_b).all() and (b == old_a).all() and (c == -old_c).all()


def test_gather_scatter_cat_sort_scan():
    p = Program(
        graph("""graph g(%x: f32[s0, 6], %i: i64[s1]) {
  size s0 = %x 0 hint 4
  size s1 = %i 0 hint 3
  %0: f32[s1, 6] = gather index_select(%x, %i) {form="select", dims=(0,)}
  %1: f32[s1, 6] = gather index(%x, %i) {form="index", dims=(0,), at=0, rank=1, space=(<s1>, <6>)}
  %2: f32[2*s1, 6] = cat cat(%0, %1) {dim=0}
  %3: f32[s0, 6] = scatter _index_add(%x, %i, %0) {form="select", mode="add", dims=(0,)}
  %4: f32[s0, 6], %5: i64[s0, 6] = sort _sort(%x) {dim=1, descending=true, k=none}
  %6: f32[s0, 6] = scan cumsum(%x) {dim=1}
  return %2, %3, %4, %5, %6
}""")
    )
    x, i = array(5, 6), np.array([3, 1, 1, 4])
    status, found = p.run(x, i)
    assert status == 0, found
    assert (found[0] == np.concatenate([x[i], x[i]])).all()
    want = x.copy()
    np.add.at(want, i, x[i])
    np.testing.assert_allclose(found[1], want, rtol=1e-6)
    assert (found[2] == -np.sort(-x)).all() and (np.take_along_axis(x, found[3], 1) == found[2]).all()
    np.testing.assert_allclose(found[4], np.cumsum(x, 1), rtol=1e-5, atol=1e-6)
    status, text = p.run(x, np.array([3, 9, 1]))
    assert status == 2 and "9" in text


def test_counters_are_taken_in_order():
    p = Program(
        graph("""graph g(%x: f32[s0]) {
  size s0 = %x 0 hint 4
  %0: int, %1: int = rng reserve() {count=<s0>}
  %2: int, %3: int = rng reserve() {count=<2*s0>}
  %4: int = number add(%1, %3) {}
  %5: i64[1] = generate _full(%4) {codes=("i64",)}
  %6: i64[1] = generate _full(%0) {codes=("i64",)}
  return %5, %6
}""")
    )
    status, found = p.run(array(10), rng=(77, 5))
    assert status == 0, found
    assert found[0][0] == 5 + 15 and found[1][0] == 77 and p.rng == (77, 35)


@pytest.mark.parametrize("n", [1, 33, 1000])
def test_half_values_are_rounded_between_members(n):
    p = Program(
        graph("""graph g(%x: f16[s0, s1]) {
  size s0 = %x 0 hint 4
  size s1 = %x 1 hint 4
  %0: float = const number() {value=0x1.999999999999ap-4}
  %1: f16[s0, s1] = map mul(%x, %0) {codes=("f16", "f16")}
  %2: f16[s0, s1] = map add(%1, %x) {codes=("f16", "f16")}
  %3: f16[s0, s1] = map mul(%2, %2) {codes=("f16", "f16")}
  return %3
}""")
    )
    x = array(3, n).astype("float16")
    status, found = p.run(x)
    assert status == 0, found
    step = (x.astype("float32") * np.float32(np.float16(0.1))).astype("float16")
    step = (step.astype("float32") + x.astype("float32")).astype("float16")
    assert (found[0] == (step.astype("float32") * step.astype("float32")).astype("float16")).all()


def test_slice_gradients_are_joined_in_place():
    p = Program(
        graph("""graph g(%a: f32[s0, 4], %b: f32[s0, 2, 3]) {
  size s0 = %a 0 hint 4
  %0: int = const number() {value=0}
  %1: f32[s0, 10] = generate _full(%0) {codes=("f32",)}
  %2: f32[s0, 4] = map exp(%a) {codes=("f32",)}
  %3: f32[s0, 2, 3] = map neg(%b) {codes=("f32",)}
  %4: f32[s0, 6] = view reshape(%3) {offset=<0>, strides=(<6>, <1>)}
  %5: f32[s0, 10] = update write(%1, %4) {offset=<4>, strides=(<10>, <1>)}
  %6: f32[s0, 10] = update write(%1, %2) {offset=<0>, strides=(<10>, <1>)}
  %7: f32[s0, 10] = map add(%5, %6) {codes=("f32", "f32")}
  return %7
}""")
    )
    assert [type(s).__name__ for s in p.plan.steps] == ["KernelStep", "KernelStep"]
    a, b = array(3, 4), array(3, 2, 3, seed=1)
    b[0, 0, 0] = 0.0
    status, found = p.run(a, b)
    assert status == 0, found
    np.testing.assert_allclose(found[0][:, :4], np.exp(a), rtol=1e-6)
    assert (found[0][:, 4:] == -b.reshape(3, 6)).all() and not np.signbit(found[0][0, 4])

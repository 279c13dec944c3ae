// Kind contract: sums of products over groups of dims. Three forms say where the dims stand.
#include "op.h"

namespace taeda {

namespace {

// One group of dims of a contraction, with byte strides per operand.
struct Group {
  int ndim = 0;
  int64_t sizes[TD_MAX_DIMS], a[TD_MAX_DIMS], b[TD_MAX_DIMS], c[TD_MAX_DIMS];
  void add(int64_t size, int64_t sa, int64_t sb, int64_t sc) {
    if (ndim == TD_MAX_DIMS) throw RuntimeFault("a contraction has at most 32 dimensions in a group");
    sizes[ndim] = size;
    a[ndim] = sa;
    b[ndim] = sb;
    c[ndim++] = sc;
  }
  td_group get() const { return {ndim, sizes, a, b, c}; }
};

void check_dtypes(const Op &op, const Tensor &a, const Tensor &b) {
  if (a.dtype != b.dtype)
    throw RuntimeFault(format("%s: expected m1 and m2 to have the same dtype, but got: %s != %s", op.title(),
                              info(a.dtype).name, info(b.dtype).name));
  check_accepts(op, a.dtype);
}

struct Contraction {
  Group batch, m, n, k;
  TensorRef out;
  void run(const Op &op, const Tensor &a, const Tensor &b, const td_epilogue *epilogue = nullptr) {
    if (!out->numel()) return;
    td_group gb = batch.get(), gm = m.get(), gn = n.get(), gk = k.get();
    check_status(td_contract(resolve_gemm(a.dtype), out->data(), a.data(), b.data(), &gb, &gm, &gn, &gk, epilogue),
                 op.title());
  }
};

int64_t bytes(const Tensor &t, size_t dim) { return t.strides[dim] * int64_t(itemsize(t.dtype)); }
// stride of a batch dim that may be broadcast
int64_t batch_bytes(const Tensor &t, size_t dim) { return t.sizes[dim] == 1 ? 0 : bytes(t, dim); }

Results matmul(Op &op, const TensorRef &a, const TensorRef &b) {
  check_dtypes(op, *a, *b);
  size_t na = a->ndim(), nb = b->ndim();
  if (!na || !nb)
    throw RuntimeFault(
        format("both arguments to %s need to be at least 1D, but they are %zuD and %zuD", op.title(), na, nb));
  int64_t ka = a->sizes[na - 1], kb = nb == 1 ? b->sizes[0] : b->sizes[nb - 2];
  if (ka != kb) {
    if (na == 1 && nb == 1)
      throw RuntimeFault(format("inconsistent tensor size, expected tensor %s and src %s to have the same number of "
                                "elements, but got %lld and %lld elements respectively",
                                shape_text(a->sizes).c_str(), shape_text(b->sizes).c_str(), (long long)ka,
                                (long long)kb));
    if (nb == 1 && na == 2)
      throw RuntimeFault(format("size mismatch, got input (%lld), mat (%lldx%lld), vec (%lld)", (long long)a->sizes[0],
                                (long long)a->sizes[0], (long long)ka, (long long)kb));
    if (na > 2 && nb > 2)
      throw RuntimeFault(
          format("Expected size for first two dimensions of batch2 tensor to be: [%lld, %lld] but got: [%lld, %lld].",
                 (long long)b->sizes[0], (long long)ka, (long long)b->sizes[0], (long long)kb));
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < na; ++i) rows *= a->sizes[i];
    throw RuntimeFault(format("mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld)", (long long)rows,
                              (long long)ka, (long long)kb, (long long)(nb == 1 ? 1 : b->sizes[nb - 1])));
  }
  Dims batch_a, batch_b, sizes;
  for (size_t i = 0; i + 2 < na; ++i) batch_a.push_back(a->sizes[i]);
  for (size_t i = 0; i + 2 < nb; ++i) batch_b.push_back(b->sizes[i]);
  bool fold = batch_b.empty(); // the batch of a joins its rows
  sizes = fold ? batch_a : broadcast_shapes(op.title(), batch_a, batch_b);
  size_t batch = sizes.size();
  if (na > 1) sizes.push_back(a->sizes[na - 2]);
  if (nb > 1) sizes.push_back(b->sizes[nb - 1]);
  Contraction c;
  c.out = empty(sizes, a->dtype);
  const Tensor &out = *c.out;
  for (size_t i = 0; i < batch; ++i) {
    size_t ia = i + (na > 2 ? na - 2 : 0) - batch, ib = i + (nb > 2 ? nb - 2 : 0) - batch;
    int64_t sa = i + (na > 2 ? na - 2 : 0) < batch ? 0 : batch_bytes(*a, ia);
    int64_t sb = i + (nb > 2 ? nb - 2 : 0) < batch ? 0 : batch_bytes(*b, ib);
    (fold ? c.m : c.batch).add(sizes[i], sa, sb, bytes(out, i));
  }
  size_t at = batch;
  if (na > 1) c.m.add(a->sizes[na - 2], bytes(*a, na - 2), 0, bytes(out, at++));
  if (nb > 1) c.n.add(b->sizes[nb - 1], 0, bytes(*b, nb - 1), bytes(out, at++));
  c.k.add(ka, bytes(*a, na - 1), bytes(*b, nb == 1 ? 0 : nb - 2), 0);
  c.run(op, *a, *b);
  return {c.out};
}

// input [..., k], weight [n, k], bias [n]
Results linear(Op &op, const TensorRef &x, const TensorRef &w, const Arg &bias_arg) {
  check_dtypes(op, *x, *w);
  size_t nx = x->ndim();
  if (!nx || w->ndim() < 1 || w->ndim() > 2)
    throw RuntimeFault(
        format("linear: expected input of at least 1 and weight of 1 or 2 dimensions, got %zu and %zu", nx, w->ndim()));
  int64_t k = x->sizes[nx - 1], kw = w->sizes[w->ndim() - 1];
  if (k != kw) {
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < nx; ++i) rows *= x->sizes[i];
    throw RuntimeFault(format("mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld)", (long long)rows,
                              (long long)k, (long long)kw, (long long)(w->ndim() == 2 ? w->sizes[0] : 1)));
  }
  Dims sizes;
  for (size_t i = 0; i + 1 < nx; ++i) sizes.push_back(x->sizes[i]);
  if (w->ndim() == 2) sizes.push_back(w->sizes[0]);
  Contraction c;
  c.out = empty(sizes, x->dtype);
  for (size_t i = 0; i + 1 < nx; ++i) c.m.add(x->sizes[i], bytes(*x, i), 0, bytes(*c.out, i));
  if (w->ndim() == 2) c.n.add(w->sizes[0], 0, bytes(*w, 0), bytes(*c.out, nx - 1));
  c.k.add(k, bytes(*x, nx - 1), bytes(*w, w->ndim() - 1), 0);
  if (bias_arg.none()) {
    c.run(op, *x, *w);
    return {c.out};
  }
  const Tensor &bias = *bias_arg.tensor();
  check_dtypes(op, *x, bias);
  if (broadcast_shapes("linear", bias.sizes, sizes) != sizes)
    throw RuntimeFault(format("linear: bias of shape %s does not broadcast to the result %s",
                              shape_text(bias.sizes).c_str(), shape_text(sizes).c_str()));
  static Op *add = role("add");
  DType d = x->dtype, ins[2] = {d, d};
  int64_t strides[2][TD_MAX_DIMS];
  byte_strides(*c.out, sizes, strides[0]);
  byte_strides(bias, sizes, strides[1]);
  td_operand ops[3] = {{c.out->data(), strides[0]}, {c.out->data(), strides[0]}, {bias.data(), strides[1]}};
  td_epilogue epilogue{kernel_for(*add, "map", ins, 2, &d, 1), ops};
  c.run(op, *x, *w, &epilogue);
  return {c.out};
}

// einsum letters: "ab,bc->ac"
Results labelled(Op &op, const TensorRef &a, const TensorRef &b, const std::string &labels) {
  check_dtypes(op, *a, *b);
  size_t comma = labels.find(','), arrow = labels.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || arrow < comma)
    throw ValueFault(format("%s: expected labels like 'ab,bc->ac', got '%s'", op.title(), labels.c_str()));
  std::string la = labels.substr(0, comma), lb = labels.substr(comma + 1, arrow - comma - 1),
              lc = labels.substr(arrow + 2);
  if (la.size() != a->ndim() || lb.size() != b->ndim())
    throw RuntimeFault(format("%s: labels '%s' do not fit operands of %zu and %zu dimensions", op.title(),
                              labels.c_str(), a->ndim(), b->ndim()));
  auto size_of = [&](char l) {
    size_t ia = la.find(l), ib = lb.find(l);
    int64_t sa = ia == std::string::npos ? -1 : a->sizes[ia], sb = ib == std::string::npos ? -1 : b->sizes[ib];
    if (sa >= 0 && sb >= 0 && sa != sb)
      throw RuntimeFault(format("%s: label '%c' has size %lld in the first and %lld in the second operand", op.title(),
                                l, (long long)sa, (long long)sb));
    if (sa < 0 && sb < 0) throw ValueFault(format("%s: label '%c' of the result is in no operand", op.title(), l));
    return sa >= 0 ? sa : sb;
  };
  Dims sizes;
  for (char l : lc) sizes.push_back(size_of(l));
  Contraction c;
  c.out = empty(sizes, a->dtype);
  for (size_t i = 0; i < lc.size(); ++i) {
    size_t ia = la.find(lc[i]), ib = lb.find(lc[i]);
    bool in_a = ia != std::string::npos, in_b = ib != std::string::npos;
    Group &g = in_a && in_b ? c.batch : in_a ? c.m : c.n;
    g.add(sizes[i], in_a ? bytes(*a, ia) : 0, in_b ? bytes(*b, ib) : 0, bytes(*c.out, i));
  }
  for (size_t ia = 0; ia < la.size(); ++ia) {
    if (lc.find(la[ia]) != std::string::npos) continue;
    size_t ib = lb.find(la[ia]);
    if (ib == std::string::npos)
      throw ValueFault(format("%s: label '%c' is in one operand only and not in the result", op.title(), la[ia]));
    c.k.add(size_of(la[ia]), bytes(*a, ia), bytes(*b, ib), 0);
  }
  for (char l : lb)
    if (lc.find(l) == std::string::npos && la.find(l) == std::string::npos)
      throw ValueFault(format("%s: label '%c' is in one operand only and not in the result", op.title(), l));
  c.run(op, *a, *b);
  return {c.out};
}

} // namespace

Results run_contract(Op &op, Args &args) {
  if (is_complex(args[0].tensor()->dtype)) {
    check_dtypes(op, *args[0].tensor(), *args[1].tensor());
    return by_parts(op, args);
  }
  if (op.form == "matmul") return matmul(op, args[0].tensor(), args[1].tensor());
  if (op.form == "linear") return linear(op, args[0].tensor(), args[1].tensor(), args[2]);
  return labelled(op, args[0].tensor(), args[1].tensor(), std::get<std::string>(args[2].v));
}

} // namespace taeda

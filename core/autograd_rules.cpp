// From an operator's gradient rule to a node: what it keeps of a call, and how it computes gradients from that.
#include "autograd_rules.h"

#include <algorithm>

#include "py_common.h"

namespace taeda {

namespace {

bool takes_tensors(ArgType t) {
  return t == ArgType::TensorT || t == ArgType::TensorList || t == ArgType::TensorOrNumber;
}

std::string camel(const std::string &name) {
  std::string out;
  bool up = true;
  for (char c : name) {
    if (c == '_' || c == '.') {
      up = true;
      continue;
    }
    out += up ? char(std::toupper(c)) : c;
    up = false;
  }
  return out;
}

Owned list_object(const std::vector<Owned> &items) {
  Owned list(PyList_New(Py_ssize_t(items.size())));
  for (size_t i = 0; i < items.size(); ++i) PyList_SET_ITEM(list.get(), Py_ssize_t(i), Py_NewRef(items[i].get()));
  return list;
}

void keep_tensor(Kept &into, const TensorRef &t) { into.emplace<SavedTensor>().save_input(t); }

// ---- map operators: each gradient is one map operator
// ------------------------------------------------------------------
class PointwiseNode final : public OpNode {
public:
  using OpNode::OpNode;

  void keep_inputs(const Args &args, size_t results, const TensorRef &original, int replaced) override {
    kept.reset(args.size() + results);
    for (size_t i = 0; i < next.size(); ++i) {
      if (!next[i].node) continue;
      for (const Need &n : rule.pointwise[i].args)
        if (n.kind == Need::Input && kept[n.index].index() == 0)
          keep(kept[n.index], args[n.index], int(n.index) == replaced ? &original : nullptr);
    }
  }

  void keep_outputs(const Results &results) override {
    size_t first = kept.size() - results.size();
    for (size_t i = 0; i < next.size(); ++i) {
      if (!next[i].node) continue;
      for (const Need &n : rule.pointwise[i].args)
        if (n.kind == Need::Output && kept[first + n.index].index() == 0)
          kept[first + n.index].emplace<SavedTensor>().save_output(results[n.index], n.index);
    }
  }

  void apply(std::span<TensorRef> grads, std::span<TensorRef> out, std::span<const uint8_t> wanted) override {
    for (size_t i = 0; i < next.size(); ++i) {
      if (!wanted[i]) continue;
      const PointwiseGrad &p = rule.pointwise[i];
      if (p.args.empty()) {
        if (!rule.differentiable) out[i] = zeros(next[i].node->outputs[next[i].slot]); // flat everywhere: floor, sign
        continue;
      }
      if (!p.op) {
        out[i] = gradient(grads, p.args[0].index);
        continue;
      }
      Args args(p.args.size());
      for (size_t k = 0; k < args.size(); ++k) fill(args[k], p.args[k], grads);
      out[i] = call(*p.op, args)[0];
    }
  }

private:
  static void keep(Kept &into, const Arg &a, const TensorRef *instead) {
    if (auto *t = std::get_if<TensorRef>(&a.v))
      keep_tensor(into, instead && *instead ? *instead : *t);
    else if (auto *s = std::get_if<Scalar>(&a.v))
      into = *s;
    else
      into = Owned(arg_object(a));
  }

  void fill(Arg &into, const Need &n, std::span<TensorRef> grads) {
    if (n.kind == Need::Grad) {
      into.v = gradient(grads, n.index);
      return;
    }
    Kept &k = kept[n.kind == Need::Input ? n.index : kept.size() - outputs.size() + n.index];
    if (auto *t = std::get_if<SavedTensor>(&k))
      into.v = t->unpack(this);
    else if (auto *s = std::get_if<Scalar>(&k))
      into.v = *s;
    else if (auto *o = std::get_if<Owned>(&k))
      into.object = Owned::borrow(o->get());
  }
};

// ---- everything else: a Python rule
// --------------------------------------------------------------------------------------
class RuleNode final : public OpNode {
public:
  using OpNode::OpNode;

  void keep_inputs(const Args &args, size_t, const TensorRef &original, int replaced) override {
    for (size_t i = 0; i < args.size(); ++i)
      if (op.schema.params[i].type == ArgType::TensorList) {
        auto *list = std::get_if<std::vector<TensorRef>>(&args[i].v);
        lists_.push_back(list ? uint32_t(list->size()) : 0);
      }
    kept.reset(rule.needs.size());
    for (size_t k = 0; k < kept.size(); ++k) {
      const Need &n = rule.needs[k];
      switch (n.kind) {
      case Need::Input:
        keep_input(kept[k], args[n.index], int(n.index) == replaced ? original : TensorRef());
        break;
      case Need::Attr:
        kept[k] = Owned(arg_object(args[n.index]));
        break;
      case Need::Shape:
        kept[k] = per_tensor(args[n.index], [](const Tensor &t) { return Owned(shape_object(t)); });
        break;
      case Need::DTypeOf:
        kept[k] = per_tensor(args[n.index], [](const Tensor &t) { return Owned::borrow(dtype_object(t.dtype)); });
        break;
      case Need::Grad:
      case Need::Output:
      case Need::Wanted:
        break;
      }
    }
  }

  void keep_outputs(const Results &results) override {
    for (size_t k = 0; k < kept.size(); ++k)
      if (const Need &n = rule.needs[k]; n.kind == Need::Output)
        kept[k].emplace<SavedTensor>().save_output(results[n.index], n.index);
  }

  void apply(std::span<TensorRef> grads, std::span<TensorRef> out, std::span<const uint8_t> wanted) override {
    if (!rule.function) throw RuntimeFault(format("the derivative for '%s' is not implemented", op.name.c_str()));
    std::vector<Owned> values;
    std::vector<PyObject *> argv;
    values.reserve(kept.size());
    for (size_t k = 0; k < kept.size(); ++k) {
      values.push_back(value(k, grads, wanted));
      argv.push_back(values.back().get());
    }
    Owned result(PyObject_Vectorcall(rule.function, argv.data(), argv.size(), nullptr));
    values.clear();
    distribute(result.get(), out);
  }

private:
  std::vector<uint32_t> lists_; // lengths of the tensor lists among the arguments

  static void keep_input(Kept &into, const Arg &a, const TensorRef &instead) {
    if (auto *t = std::get_if<TensorRef>(&a.v)) return keep_tensor(into, instead ? instead : *t);
    if (auto *list = std::get_if<std::vector<TensorRef>>(&a.v)) {
      auto &saved = into.emplace<std::vector<SavedTensor>>(list->size());
      for (size_t i = 0; i < list->size(); ++i)
        if ((*list)[i]) saved[i].save_input((*list)[i]);
      return;
    }
    into = Owned(arg_object(a));
  }

  template <class F> static Owned per_tensor(const Arg &a, F &&f) {
    if (auto *t = std::get_if<TensorRef>(&a.v)) return f(**t);
    if (auto *list = std::get_if<std::vector<TensorRef>>(&a.v)) {
      std::vector<Owned> items;
      for (const TensorRef &t : *list) items.push_back(t ? f(*t) : Owned::borrow(Py_None));
      return list_object(items);
    }
    return Owned::borrow(Py_None);
  }

  Owned value(size_t k, std::span<TensorRef> grads, std::span<const uint8_t> wanted) {
    const Need &n = rule.needs[k];
    if (n.kind == Need::Grad) return Owned(wrap(n.index < grads.size() ? grads[n.index] : TensorRef()));
    if (n.kind == Need::Wanted) return wanted_tuple(wanted);
    if (auto *t = std::get_if<SavedTensor>(&kept[k])) return Owned(wrap(t->unpack(this)));
    if (auto *list = std::get_if<std::vector<SavedTensor>>(&kept[k])) {
      std::vector<Owned> items;
      for (const SavedTensor &t : *list) items.push_back(Owned(wrap(t.unpack(this))));
      return list_object(items);
    }
    auto *o = std::get_if<Owned>(&kept[k]);
    return Owned::borrow(o ? o->get() : Py_None);
  }

  // Calls visit(first edge, number of edges) for every tensor parameter.
  template <class F> void each_tensor(F &&visit) const {
    size_t edge = 0, list = 0;
    for (const Param &p : op.schema.params) {
      if (!takes_tensors(p.type)) continue;
      size_t n = p.type == ArgType::TensorList ? lists_[list++] : 1;
      visit(edge, n, p);
      edge += n;
    }
  }

  Owned wanted_tuple(std::span<const uint8_t> wanted) const {
    std::vector<uint8_t> flags;
    each_tensor([&](size_t first, size_t n, const Param &) {
      flags.push_back(
          std::any_of(wanted.begin() + long(first), wanted.begin() + long(first + n), [](uint8_t w) { return w; }));
    });
    Owned t(PyTuple_New(Py_ssize_t(flags.size())));
    for (size_t i = 0; i < flags.size(); ++i)
      PyTuple_SET_ITEM(t.get(), Py_ssize_t(i), Py_NewRef(flags[i] ? Py_True : Py_False));
    return t;
  }

  void take(PyObject *o, TensorRef &into) const {
    if (o == Py_None) return;
    if (!is_tensor(o))
      throw TypeFault(
          format("gradient rule of %s: expected a Tensor or None, got %s", op.name.c_str(), Py_TYPE(o)->tp_name));
    into = TensorRef(tensor_ptr(o));
  }

  // One gradient per tensor parameter (a list for a list), or the gradient alone where there is one parameter.
  void distribute(PyObject *result, std::span<TensorRef> out) const {
    size_t params = 0, at = 0;
    each_tensor([&](size_t, size_t, const Param &) { ++params; });
    bool whole = PyTuple_Check(result) && size_t(PyTuple_GET_SIZE(result)) == params &&
                 (params > 1 || lists_.empty() || !is_sequence_of_gradients(result));
    if (!whole && params != 1) {
      if (is_tensor(result) || result == Py_None) return take(result, out[0]); // the others have none
      throw TypeFault(format("gradient rule of %s: expected a tuple of %zu gradients, got %s", op.name.c_str(), params,
                             Py_TYPE(result)->tp_name));
    }
    each_tensor([&](size_t first, size_t n, const Param &p) {
      PyObject *o = whole ? PyTuple_GET_ITEM(result, Py_ssize_t(at++)) : result;
      if (p.type != ArgType::TensorList) return take(o, out[first]);
      if (o == Py_None) return;
      if (!PySequence_Check(o) || is_tensor(o))
        throw TypeFault(format("gradient rule of %s: expected a list for '%s'", op.name.c_str(), p.name.c_str()));
      Owned items(PySequence_Fast(o, "gradients"));
      if (size_t(PySequence_Fast_GET_SIZE(items.get())) != n)
        throw RuntimeFault(
            format("gradient rule of %s: expected %zu gradients for '%s'", op.name.c_str(), n, p.name.c_str()));
      for (size_t i = 0; i < n; ++i) take(PySequence_Fast_GET_ITEM(items.get(), Py_ssize_t(i)), out[first + i]);
    });
  }

  static bool
  is_sequence_of_gradients(PyObject *tuple) { // for one list parameter: a tuple of tensors is the list itself
    PyObject *first = PyTuple_GET_ITEM(tuple, 0);
    return first == Py_None || is_tensor(first);
  }
};

bool differentiable_dtype(DType d) { return is_float(d) || is_complex(d); }

// ---- reading the answer of hook "gradient"
// -----------------------------------------------------------------------------
std::vector<Need> needs_from(const Op &op, PyObject *o) {
  std::vector<Need> needs;
  Owned items(PySequence_Fast(o, "hook 'gradient': needs must be a tuple"));
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    Owned pair(
        PySequence_Fast(PySequence_Fast_GET_ITEM(items.get(), i), "hook 'gradient': a need must be (code, index)"));
    int64_t code = -1, index = -1;
    if (PySequence_Fast_GET_SIZE(pair.get()) == 2) {
      code = int_from(PySequence_Fast_GET_ITEM(pair.get(), 0), "need code");
      index = int_from(PySequence_Fast_GET_ITEM(pair.get(), 1), "need index");
    }
    bool of_param = code == Need::Input || code == Need::Attr || code == Need::Shape || code == Need::DTypeOf;
    bool of_output = code == Need::Grad || code == Need::Output;
    if (code < 0 || code > Need::Wanted || index < 0 || (of_param && size_t(index) >= op.schema.params.size()) ||
        (of_output && index >= 64))
      throw ValueFault(format("hook 'gradient' of %s: need (%lld, %lld) is out of range", op.name.c_str(),
                              (long long)code, (long long)index));
    needs.push_back({Need::Kind(code), uint8_t(index)});
  }
  return needs;
}

void read_pointwise(Op &op, GradRule &rule, PyObject *answer) {
  if (!PyTuple_Check(answer) || size_t(PyTuple_GET_SIZE(answer)) != op.schema.params.size())
    throw TypeFault(format("hook 'gradient' of %s: expected a tuple with one entry per operand", op.name.c_str()));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(answer); ++i) {
    PointwiseGrad g;
    PyObject *entry = PyTuple_GET_ITEM(answer, i);
    if (entry != Py_None) {
      PyObject *grad_op, *needs;
      if (!PyArg_ParseTuple(entry, "OO", &grad_op, &needs)) throw PythonError{};
      if (grad_op != Py_None && !(g.op = op_from(grad_op)))
        throw TypeFault(
            format("hook 'gradient' of %s: expected an Op, got %s", op.name.c_str(), Py_TYPE(grad_op)->tp_name));
      g.args = needs_from(op, needs);
      if (g.args.empty())
        throw ValueFault(format("hook 'gradient' of %s: a gradient must read something", op.name.c_str()));
      rule.differentiable = true;
    }
    rule.pointwise.push_back(std::move(g));
  }
}

} // namespace

std::string OpNode::name() const { return camel(op.name) + "Backward0"; }

void OpNode::release() {
  for (Kept &k : kept) {
    if (auto *t = std::get_if<SavedTensor>(&k))
      t->clear();
    else if (auto *list = std::get_if<std::vector<SavedTensor>>(&k))
      for (SavedTensor &t : *list) t.clear();
  }
}

int OpNode::traverse(visitproc visit, void *arg) const {
  for (const Kept &k : kept) {
    int r = 0;
    if (auto *t = std::get_if<SavedTensor>(&k))
      r = t->traverse(visit, arg);
    else if (auto *o = std::get_if<Owned>(&k))
      Py_VISIT(o->get());
    else if (auto *list = std::get_if<std::vector<SavedTensor>>(&k))
      for (const SavedTensor &t : *list)
        if (!r) r = t.traverse(visit, arg);
    if (r) return r;
  }
  return Node::traverse(visit, arg);
}

TensorRef OpNode::gradient(std::span<TensorRef> grads, size_t i) const {
  return grads[i] ? grads[i] : zeros(outputs[i]);
}

GradRule &resolve_gradient(Op &op) {
  if (op.functional) return resolve_gradient(*op.functional);
  GradRule &rule = op.grad;
  if (rule.resolved) return rule;
  static PyObject *&callback = hook("gradient");
  if (!callback) throw RuntimeFault("hook 'gradient' is not set");
  Owned answer(PyObject_CallOneArg(callback, op.self_py));
  GradRule found;
  if (op.kind == "map") {
    read_pointwise(op, found, answer.get());
  } else if (answer.get() != Py_None) {
    PyObject *function, *needs;
    if (!PyArg_ParseTuple(answer.get(), "OO", &function, &needs)) throw PythonError{};
    found.needs = needs_from(op, needs);
    found.function = Py_NewRef(function);
    found.differentiable = true;
  }
  auto note = [&](const std::vector<Need> &needs) {
    for (const Need &n : needs) {
      if (n.kind == Need::Input) found.saves_input |= uint64_t(1) << n.index;
      if (n.kind == Need::Output || n.kind == Need::Grad) found.saves_output |= uint64_t(1) << n.index;
    }
  };
  note(found.needs);
  for (const PointwiseGrad &p : found.pointwise) note(p.args);
  found.resolved = true;
  rule = std::move(found);
  return rule;
}

bool any_needs_grad(const Args &args) {
  for (const Arg &a : args) {
    if (auto *t = std::get_if<TensorRef>(&a.v)) {
      if (*t && (*t)->autograd && needs_grad(**t)) return true;
    } else if (auto *list = std::get_if<std::vector<TensorRef>>(&a.v)) {
      for (const TensorRef &t : *list)
        if (t && needs_grad(*t)) return true;
    }
  }
  return false;
}

bool reads_input(Op &op, const Args &args, size_t index) {
  GradRule &rule = resolve_gradient(op);
  if (op.kind != "map") return rule.saves_input >> index & 1;
  for (size_t i = 0; i < args.size(); ++i) {
    auto *t = std::get_if<TensorRef>(&args[i].v);
    if (!t || !*t || !needs_grad(**t)) continue;
    for (const Need &n : rule.pointwise[i].args)
      if (n.kind == Need::Input && n.index == index) return true;
  }
  return false;
}

Ref<OpNode> make_node(Op &op, const Args &args, const Results &results, const TensorRef &original) {
  if (std::none_of(results.begin(), results.end(), [](const TensorRef &r) { return differentiable_dtype(r->dtype); }))
    return {};
  GradRule &rule = resolve_gradient(op);
  if (rule.saves_output >> results.size())
    throw ValueFault(format("gradient of %s reads more than its %zu outputs", op.name.c_str(), results.size()));
  bool map = !rule.pointwise.empty();
  Op &named = op.functional ? *op.functional : op;
  Ref<OpNode> node(map ? static_cast<OpNode *>(new PointwiseNode(named, rule)) : new RuleNode(named, rule));
  auto takes = [&](size_t i) { return map || takes_tensors(op.schema.params[i].type); };
  auto list_of = [&](size_t i) { return std::get_if<std::vector<TensorRef>>(&args[i].v); };
  size_t edges = 0;
  for (size_t i = 0; i < args.size(); ++i)
    if (takes(i)) edges += list_of(i) ? list_of(i)->size() : op.schema.params[i].type != ArgType::TensorList;
  node->next.reset(edges);
  Edge *edge = node->next.begin();
  for (size_t i = 0; i < args.size(); ++i) {
    if (!takes(i)) continue;
    if (auto *list = list_of(i)) {
      for (const TensorRef &t : *list) {
        if (t && t->autograd) *edge = gradient_edge(*t);
        ++edge;
      }
    } else if (op.schema.params[i].type != ArgType::TensorList) {
      if (auto *t = std::get_if<TensorRef>(&args[i].v); t && *t && (*t)->autograd) *edge = gradient_edge(**t);
      ++edge;
    }
  }
  node->outputs.reset(results.size());
  for (size_t i = 0; i < results.size(); ++i) node->outputs[i].describe(*results[i]);
  node->keep_inputs(args, results.size(), original, op.inplace_arg);
  if (modes().anomaly) note_anomaly(*node);
  return node;
}

void attach(Op &op, Args &args, Results &results) {
  if (op.inplace_arg >= 0) return attach_inplace(op, args, results);
  bool view = op.view_of >= 0 && is_view_of(op, args, *results[0]);
  if (modes().grad && any_needs_grad(args)) {
    for (const Arg &a : args) // an operator may hand an argument back as it is
      if (auto *t = std::get_if<TensorRef>(&a.v))
        for (const TensorRef &r : results)
          if (r == *t) return;
    if (Ref<OpNode> node = make_node(op, args, results, {})) {
      node->keep_outputs(results);
      for (size_t i = 0; i < results.size(); ++i) {
        if (!differentiable_dtype(results[i]->dtype)) continue;
        drop_history(*results[i]);
        AutogradMeta &m = meta(*results[i]);
        m.grad_fn = node;
        m.output_nr = uint32_t(i);
      }
    }
  } else if (op.view_of < 0) {
    for (const TensorRef &r : results) // what a composite computed inside is nobody's view
      if (r->autograd && r->autograd->base && op.kind == "composite") drop_history(*r);
  }
  if (view) record_view(op, args, *results[0]);
}

} // namespace taeda

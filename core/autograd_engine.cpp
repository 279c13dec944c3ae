// The engine: counts dependencies from the roots, then runs nodes as they become ready, the latest made first.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "forward.h"
#include "op.h"
#include "py_common.h"

namespace taeda {

namespace {

uint64_t last_run = 0;
thread_local uint64_t current_run = 0;

// ---- hooks
// ----------------------------------------------------------------------------------------------------------- Calls
// every hook with the gradient; a result takes its place.
void call_tensor_hooks(PyObject *dict, TensorRef &grad) {
  if (!dict || PyDict_GET_SIZE(dict) == 0 || !grad) return;
  Owned hooks(PyDict_Values(dict)); // a hook may remove itself
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hooks.get()); ++i) {
    PyObject *hook = PyList_GET_ITEM(hooks.get(), i);
    Owned g(wrap(grad)), result(PyObject_CallOneArg(hook, g.get()));
    if (result.get() == Py_None) continue;
    if (!is_tensor(result.get()))
      throw TypeFault(format("expected Variable, but hook returned '%s'", Py_TYPE(result.get())->tp_name));
    TensorRef changed(tensor_ptr(result.get()));
    if (changed->sizes != grad->sizes)
      throw RuntimeFault(format("hook has changed the size of value: got %s, expected %s",
                                shape_text(changed->sizes).c_str(), shape_text(grad->sizes).c_str()));
    if (changed->dtype != grad->dtype)
      throw RuntimeFault(format("hook has changed the type of value (was taeda.%s got taeda.%s)",
                                info(grad->dtype).name, info(changed->dtype).name));
    grad = std::move(changed);
  }
}

Owned tuple_of(std::span<const TensorRef> tensors) {
  Owned t(PyTuple_New(Py_ssize_t(tensors.size())));
  for (size_t i = 0; i < tensors.size(); ++i)
    PyTuple_SET_ITEM(t.get(), Py_ssize_t(i), Owned(wrap(tensors[i])).release());
  return t;
}

// What a node's hook returned in place of `values`.
void take_replacement(const Node &node, PyObject *result, std::span<TensorRef> values) {
  if (result == Py_None) return;
  bool single = is_tensor(result) && values.size() == 1;
  if (!single && (!PyTuple_Check(result) || size_t(PyTuple_GET_SIZE(result)) != values.size()))
    throw TypeFault(format("a hook of %s must return None or a tuple of %zu gradients, got %s", node.name().c_str(),
                           values.size(), Py_TYPE(result)->tp_name));
  for (size_t i = 0; i < values.size(); ++i) {
    PyObject *o = single ? result : PyTuple_GET_ITEM(result, Py_ssize_t(i));
    if (o != Py_None && !is_tensor(o))
      throw TypeFault(
          format("a hook of %s returned a %s as gradient %zu", node.name().c_str(), Py_TYPE(o)->tp_name, i));
    values[i] = o == Py_None ? TensorRef() : TensorRef(tensor_ptr(o));
  }
}

void call_pre_hooks(const Node &node, std::span<TensorRef> grads) {
  if (!node.extras_ || !node.extras_->pre_hooks) return;
  Owned hooks(PyDict_Values(node.extras_->pre_hooks));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hooks.get()); ++i) {
    Owned args = tuple_of(grads);
    take_replacement(node, Owned(PyObject_CallOneArg(PyList_GET_ITEM(hooks.get(), i), args.get())).get(), grads);
  }
}

void call_post_hooks(const Node &node, std::span<TensorRef> out, const Owned &grads) {
  Owned hooks(PyDict_Values(node.extras_->post_hooks));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hooks.get()); ++i) {
    Owned args = tuple_of(out);
    take_replacement(
        node,
        Owned(PyObject_CallFunctionObjArgs(PyList_GET_ITEM(hooks.get(), i), args.get(), grads.get(), nullptr)).get(),
        out);
  }
}

// ---- anomaly mode
// ------------------------------------------------------------------------------------------------------
bool has_nan(const TensorRef &t) {
  if (!t || t->traced || !(is_float(t->dtype) || is_complex(t->dtype))) return false;
  TensorRef dense = contiguous(t);
  const char *p = dense->data();
  for (int64_t i = 0, n = dense->numel(); i < n; ++i, p += itemsize(t->dtype)) {
    Scalar s = Scalar::load(t->dtype, p);
    if (s.kind == Scalar::C ? std::isnan(s.c.real()) || std::isnan(s.c.imag()) : std::isnan(s.v.f)) return true;
  }
  return false;
}

// Warns with the stack of the forward call that made the node; keeps the exception that is set.
void warn_of_origin(const Node &node) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyObject *stack =
      node.extras_ && node.extras_->metadata ? PyDict_GetItemString(node.extras_->metadata, "traceback_") : nullptr;
  Owned empty_text(PyUnicode_FromString("")), text = stack ? Owned(PyUnicode_Join(empty_text.get(), stack)) : Owned();
  std::string message = "Error detected in " + node.name() + ". ";
  if (text)
    message +=
        std::string("Traceback of forward call that caused the error:\n") + nb::str(nb::handle(text.get())).c_str();
  else
    message += "No forward pass information available. Enable detect anomaly during forward pass for more information.";
  if (PyErr_WarnEx(PyExc_UserWarning, message.c_str(), 1))
    PyErr_Clear(); // a warning turned into an error must not hide the error itself
  PyErr_Restore(type, value, trace);
}

// ---- one run
// -----------------------------------------------------------------------------------------------------------
class Run {
public:
  Run(bool retain, bool create, bool restricted)
      : id_(++last_run), before_(current_run), retain_(retain), create_(create), restricted_(restricted) {
    current_run = id_;
  }
  ~Run() {
    current_run = before_;
    for (State &s : states_)
      if (s.node->task == id_) s.node->task = 0;
  }

  void add_capture(const Edge &e, size_t place) { captures_.push_back({number(e.node.get()), e.slot, place}); }
  void add_root(const Edge &e) { roots_.push_back(number(e.node.get())); }
  void discover() {
    for (uint32_t r : roots_) visit(r);
  }
  void give(const Edge &e, TensorRef grad) {
    accumulate(slots_[states_[number(e.node.get())].first + e.slot], std::move(grad));
  }
  void execute(std::vector<TensorRef> &captured);

private:
  struct State {
    NodeRef node;
    uint32_t first; // place of its first incoming gradient in slots_
    uint32_t dependencies = 0;
    bool visited = false;
    bool captured = false; // the result holds a gradient that arrives here
    bool runs = false;     // something behind it wants a gradient
  };
  struct Capture {
    uint32_t state, slot;
    size_t place;
  };

  // The number of a node in this run. A node numbered by another run that is still under way (reentrant or of another
  // thread) goes into a table of its own.
  uint32_t number(Node *node) {
    if (node->task == id_) return node->task_index;
    if (!foreign_.empty())
      if (auto found = foreign_.find(node); found != foreign_.end()) return found->second;
    uint32_t n = uint32_t(states_.size());
    states_.push_back({NodeRef(node), uint32_t(slots_.size())});
    slots_.resize(slots_.size() + node->outputs.size());
    if (node->task == 0) {
      node->task = id_;
      node->task_index = n;
    } else {
      foreign_[node] = n;
    }
    return n;
  }

  void visit(uint32_t root);
  void accumulate(TensorRef &into, TensorRef grad);
  void run_node(uint32_t index, std::vector<TensorRef> &captured);
  void apply_node(Node &node, std::span<TensorRef> grads);
  void push(uint32_t index) {
    heap_.push_back({states_[index].node->sequence, index});
    std::push_heap(heap_.begin(), heap_.end());
  }

  uint64_t id_, before_;
  bool retain_, create_, restricted_;
  std::vector<State> states_;
  std::vector<TensorRef> slots_;
  std::vector<uint32_t> roots_;
  std::vector<Capture> captures_;
  std::unordered_map<Node *, uint32_t> foreign_;
  std::vector<std::pair<uint64_t, uint32_t>> heap_;
  std::vector<TensorRef> out_;
  std::vector<uint8_t> wanted_;
};

// Depth first without recursion: counts the edges into every node and, where only some inputs matter, finds the nodes
// before them.
void Run::visit(uint32_t root) {
  if (states_[root].visited) return;
  std::vector<std::pair<uint32_t, size_t>> path; // node, next edge to follow
  auto enter = [&](uint32_t index) {
    State &s = states_[index];
    s.visited = true;
    if (restricted_)
      for (const Capture &c : captures_) s.captured |= c.state == index;
    else
      s.runs = true;
    path.push_back({index, 0});
  };
  enter(root);
  while (!path.empty()) {
    auto &[index, edge] = path.back();
    Node &node = *states_[index].node;
    if (edge == node.next.size()) {
      bool wanted = states_[index].runs || states_[index].captured;
      path.pop_back();
      if (wanted && !path.empty()) states_[path.back().first].runs = true;
      continue;
    }
    const Edge &e = node.next[edge++];
    if (!e.node) continue;
    uint32_t child = number(e.node.get());
    ++states_[child].dependencies;
    if (!states_[child].visited)
      enter(child); // invalidates index and edge
    else if (states_[child].runs || states_[child].captured)
      states_[index].runs = true;
  }
}

void Run::accumulate(TensorRef &into, TensorRef grad) {
  if (!grad) return;
  if (!into) {
    into = std::move(grad);
    return;
  }
  static Op *add = role("add"), *add_in_place = role("add_");
  bool ours = !create_ && !into->traced && !grad->traced && into->counter_.unique() && into->storage->refs == 1 &&
              into->contiguous() && into->sizes == grad->sizes;
  if (ours)
    call_values(*add_in_place, {into, grad});
  else
    into = call_values(*add, {into, grad})[0];
}

void Run::apply_node(Node &node, std::span<TensorRef> grads) {
  size_t n = node.next.size();
  out_.assign(n, TensorRef());
  std::vector<TensorRef> out;
  std::vector<uint8_t> wanted;
  out.swap(out_); // a nested run has its own Run, but hooks below may come back here
  wanted.swap(wanted_);
  wanted.assign(n, 0);
  bool any = false;
  for (size_t i = 0; i < n; ++i)
    if (const Edge &e = node.next[i]; e.node) {
      const State &s = states_[number(e.node.get())];
      any |= wanted[i] = s.runs || s.captured;
    }
  bool given = std::any_of(grads.begin(), grads.end(), [](const TensorRef &g) { return bool(g); });
  if (given || (any && node.runs_without_grads())) {
    Owned kept; // for the hooks that run afterwards
    if (node.extras_ && node.extras_->post_hooks && PyDict_GET_SIZE(node.extras_->post_hooks)) kept = tuple_of(grads);
    node.apply(grads, out, wanted);
    for (size_t i = 0; i < n; ++i) {
      if (!node.next[i].node) out[i].reset();
      if (out[i]) fit_gradient(node, i, node.next[i].node->outputs[node.next[i].slot], out[i]);
    }
    if (modes().anomaly && modes().check_nan)
      for (size_t i = 0; i < n; ++i)
        if (has_nan(out[i]))
          throw RuntimeFault(format("Function '%s' returned nan values in its %zuth output.", node.name().c_str(), i));
    if (kept) {
      call_post_hooks(node, out, kept);
      for (size_t i = 0; i < n; ++i)
        if (out[i] && node.next[i].node) fit_gradient(node, i, node.next[i].node->outputs[node.next[i].slot], out[i]);
    }
  }
  if (!retain_) node.release();
  for (size_t i = 0; i < n; ++i) {
    const Edge &e = node.next[i];
    if (!e.node) continue;
    State &s = states_[number(e.node.get())];
    if (wanted[i]) accumulate(slots_[s.first + e.slot], std::move(out[i]));
  }
  out.clear();
  out_.swap(out);
  wanted_.swap(wanted);
}

void Run::run_node(uint32_t index, std::vector<TensorRef> &captured) {
  NodeRef node = states_[index].node;
  bool runs = states_[index].runs;
  std::span<TensorRef> grads(slots_.data() + states_[index].first, node->outputs.size());
  if (Tensor *leaf = node->leaf()) {
    if (!leaf->autograd->hooks.empty()) call_tensor_hooks(leaf->autograd->hooks[0], grads[0]);
  } else if (NodeExtras *extras = node->extras_.get()) {
    for (const auto &h : std::vector<NodeExtras::SlotHooks>(extras->tensor_hooks))
      call_tensor_hooks(h.hooks, grads[h.slot]);
    for (const auto &r : extras->retained)
      if (const TensorRef &g = grads[r.slot]) {
        TensorRef &kept = r.tensor->autograd->grad;
        TensorRef shared = detached(g); // a later hook may not change what was kept, so memory alone is shared
        if (create_) shared = g;
        static Op *add = role("add");
        kept = kept ? call_values(*add, {kept, shared})[0] : shared;
      }
  }
  if (states_[index].captured)
    for (const Capture &c : captures_)
      if (c.state == index) captured[c.place] = grads[c.slot];
  if (runs) {
    try {
      call_pre_hooks(*node, grads);
      apply_node(*node, grads);
    } catch (...) {
      if (!modes().anomaly) throw;
      raise_current_exception();
      warn_of_origin(*node);
      throw PythonError{};
    }
  }
  for (TensorRef &g : grads) g.reset();
  for (const Edge &e : node->next)
    if (e.node)
      if (uint32_t child = number(e.node.get());
          --states_[child].dependencies == 0 && (states_[child].runs || states_[child].captured))
        push(child);
}

void Run::execute(std::vector<TensorRef> &captured) {
  std::sort(roots_.begin(), roots_.end());
  roots_.erase(std::unique(roots_.begin(), roots_.end()), roots_.end());
  for (uint32_t r : roots_)
    if (states_[r].dependencies == 0 && (states_[r].runs || states_[r].captured)) push(r);
  while (!heap_.empty()) {
    if (PyErr_CheckSignals()) throw PythonError{};
    std::pop_heap(heap_.begin(), heap_.end());
    uint32_t index = heap_.back().second;
    heap_.pop_back();
    run_node(index, captured);
  }
}

} // namespace

uint64_t current_engine_run() { return current_run; }

void note_anomaly(Node &node) {
  Owned module(PyImport_ImportModule("traceback")), stack(PyObject_CallMethod(module.get(), "format_stack", nullptr));
  PyObject *&metadata = node.extras().metadata;
  if (!metadata) metadata = Owned(PyDict_New()).release();
  if (PyDict_SetItemString(metadata, "traceback_", stack.get())) throw PythonError{};
}

void fit_gradient(const Node &node, size_t i, const Node::Output &expected, TensorRef &grad) {
  if (grad->sizes != expected.sizes) {
    const Dims &got = grad->sizes, &want = expected.sizes;
    bool fits = got.size() >= want.size();
    for (size_t k = 0; fits && k < want.size(); ++k)
      fits = want[k] == 1 || want[k] == got[got.size() - want.size() + k];
    if (!fits)
      throw RuntimeFault(
          format("Function %s returned an invalid gradient at index %zu - got %s but expected shape compatible with %s",
                 node.name().c_str(), i, shape_text(got).c_str(), shape_text(want).c_str()));
    grad = sum_to(grad, want);
  }
  if (grad->dtype != expected.dtype) grad = cast(grad, expected.dtype);
}

std::vector<TensorRef> run_backward(const std::vector<TensorRef> &roots, const std::vector<TensorRef> &root_grads,
                                    bool retain_graph, bool create_graph, const std::vector<TensorRef> &inputs,
                                    bool accumulate) {
  std::vector<Edge> root_edges;
  for (size_t i = 0; i < roots.size(); ++i) {
    Edge e = gradient_edge(*roots[i]);
    if (!e.node)
      throw RuntimeFault(format("element %zu of tensors does not require grad and does not have a grad_fn", i));
    root_edges.push_back(std::move(e));
  }
  bool restricted = !inputs.empty();
  std::vector<TensorRef> captured(inputs.size());
  std::vector<Edge> input_edges;
  for (const TensorRef &t : inputs) {
    Edge e = gradient_edge(*t);
    if (!e.node) throw RuntimeFault("One of the differentiated Tensors does not require grad");
    input_edges.push_back(std::move(e));
  }
  {
    GradMode mode(create_graph);
    ForwardLevels none(0); // tangents of gradients are the business of those who ask for them
    Run run(retain_graph, create_graph, restricted);
    for (size_t i = 0; i < input_edges.size(); ++i) run.add_capture(input_edges[i], i);
    for (const Edge &e : root_edges) run.add_root(e);
    run.discover();
    for (size_t i = 0; i < roots.size(); ++i) {
      TensorRef g = root_grads[i];
      if (!create_graph && needs_grad(*g)) g = detached(g);
      run.give(root_edges[i], std::move(g));
    }
    run.execute(captured);
    if (!accumulate || !restricted) return captured;
    std::vector<bool> done(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      for (size_t j = 0; j < i; ++j) done[i] = done[i] || inputs[j] == inputs[i]; // named twice: once
      if (done[i] || !captured[i]) continue;
      if (input_edges[i].node->leaf()) {
        for (size_t j = i + 1; j < inputs.size(); ++j)
          if (inputs[j] == inputs[i]) captured[j].reset();
        TensorRef g[1] = {std::move(captured[i])};
        input_edges[i].node->apply(g, {}, {});
      }
    }
  }
  return captured;
}

} // namespace taeda

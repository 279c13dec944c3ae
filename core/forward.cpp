// Forward mode: the tangents that tensors carry, and how operators on them reach the rules.
#include "forward.h"

#include <algorithm>

#include "autograd.h"
#include "op.h"

namespace taeda {

namespace {
Forward *first = nullptr; // all of them, so that a level can be closed
thread_local uint32_t open_levels = ~uint32_t(0);

uint32_t bit(int level) { return uint32_t(1) << level; }
} // namespace

Forward::Forward() : next(first) {
  if (first) first->previous = this;
  first = this;
}

Forward::~Forward() {
  set_levels(0);
  (previous ? previous->next : first) = next;
  if (next) next->previous = previous;
}

void Forward::set_levels(uint32_t now) {
  wrapped_alive += int(now != 0) - int(levels != 0);
  levels = now;
}

TensorRef Forward::tangent(int level) const {
  for (const auto &[at, t] : tangents)
    if (at == level) return t;
  return {};
}

void Forward::set(int level, const TensorRef &tangent) {
  std::erase_if(tangents, [&](const auto &entry) { return entry.first == level; });
  if (tangent) tangents.emplace_back(level, tangent);
  set_levels(tangent ? levels | bit(level) : levels & ~bit(level));
}

ForwardLevels::ForwardLevels(uint32_t open) : before(std::exchange(open_levels, open)) {}
ForwardLevels::~ForwardLevels() { open_levels = before; }

int forward_level(const Tensor &t) {
  uint32_t found = t.forward ? t.forward->levels : 0;
  if (const AutogradMeta *m = t.autograd; m && m->base && m->base->forward) found |= m->base->forward->levels;
  found &= open_levels;
  return found ? 31 - __builtin_clz(found) : -1;
}

int forward_level(const Args &args) {
  int level = -1;
  for (const Arg &a : args) {
    if (a.is_tensor()) {
      if (a.tensor()) level = std::max(level, forward_level(*a.tensor()));
    } else if (a.v.index() == 2) {
      for (const TensorRef &t : a.tensors())
        if (t) level = std::max(level, forward_level(*t));
    }
  }
  return level;
}

namespace {

Tensor &tensor_argument(nb::handle o, const char *function) {
  if (!is_tensor(o.ptr()))
    throw TypeFault(format("%s: expected a Tensor, got %s", function, Py_TYPE(o.ptr())->tp_name));
  return *tensor_ptr(o.ptr());
}

int level_argument(int level) {
  if (level < 0 || level > 31) throw ValueFault(format("forward mode: levels are 0 to 31, got %d", level));
  return level;
}

void close_level(int level) {
  level_argument(level);
  std::vector<TensorRef> dropped; // a tangent that dies may take others with it
  for (Forward *f = first; f; f = f->next)
    if (TensorRef t = f->tangent(level)) {
      dropped.push_back(std::move(t));
      f->set(level, {});
    }
}

// On the same place of the tape, but no view of `t`: what t is without its tangents.
TensorRef primal(const TensorRef &t) {
  static Op *alias = role("alias");
  TensorRef a = call_values(*alias, {t})[0];
  if (a->autograd) {
    a->autograd->base.reset();
    a->autograd->step.reset();
    a->autograd->base_fn.reset();
  }
  return a;
}

} // namespace

void bind_forward(nb::module_ &m) {
  m.def(
      "forward_level",
      [](nb::args tensors) {
        int level = -1;
        if (!wrapped_alive) return level;
        auto note = [&](PyObject *o) {
          if (is_tensor(o)) level = std::max(level, forward_level(*tensor_ptr(o)));
        };
        for (nb::handle item : tensors) {
          note(item.ptr());
          if (PyTuple_Check(item.ptr()) || PyList_Check(item.ptr()))
            for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(item.ptr()); ++i)
              note(PySequence_Fast_GET_ITEM(item.ptr(), i));
        }
        return level;
      },
      nb::arg("tensors"), "The highest level of forward mode at which one of the tensors has a tangent; -1: none.");
  m.def(
      "is_transformed",
      [](nb::args tensors) {
        if (!wrapped_alive) return false;
        for (nb::handle item : tensors)
          if (is_tensor(item.ptr()) && (tensor_ptr(item.ptr())->wrapped || forward_level(*tensor_ptr(item.ptr())) >= 0))
            return true;
        return false;
      },
      nb::arg("tensors"), "Whether one of the arguments is a tensor of a function transform or has a tangent.");
  m.def(
      "tangent",
      [](nb::handle t, int level) {
        const Tensor &x = tensor_argument(t, "tangent");
        return nb::steal(wrap(x.forward ? x.forward->tangent(level_argument(level)) : TensorRef()));
      },
      nb::arg("tensor"), nb::arg("level"), "The tensor's own tangent at a level of forward mode, or None.");
  m.def(
      "set_tangent",
      [](nb::handle t, int level, nb::handle tangent) {
        Tensor &x = tensor_argument(t, "set_tangent");
        level_argument(level);
        TensorRef given = tangent.is_none() ? TensorRef() : TensorRef(&tensor_argument(tangent, "set_tangent"));
        if (!given && !x.forward) return;
        if (!x.forward) x.forward = Ref<Forward>(new Forward);
        x.forward->set(level, given);
      },
      nb::arg("tensor"), nb::arg("level"), nb::arg("tangent").none(), "Gives a tensor a tangent, or takes it off.");
  m.def(
      "share_tangents",
      [](nb::handle to, nb::handle from) {
        tensor_argument(to, "share_tangents").forward = tensor_argument(from, "share_tangents").forward;
      },
      nb::arg("to"), nb::arg("tensor"), "Lets an alias of a tensor have its tangents, at every level.");
  m.def("close_forward_level", &close_level, nb::arg("level"), "Takes the tangents of a level off all tensors.");
  m.def(
      "set_forward_levels", [](uint32_t open) { return std::exchange(open_levels, open); }, nb::arg("open"),
      "Which levels operators take part in, on this thread: a bit for each. Returns what was set before.");
  m.def(
      "primal", [](nb::handle t) { return nb::steal(wrap(primal(TensorRef(&tensor_argument(t, "primal"))))); },
      nb::arg("tensor"), "An alias of a tensor at its place of the tape that is no view of it.");
}

} // namespace taeda

// Operator signatures and the parsing of Python arguments against them.
#include <cstring>

#include "op.h"

namespace taeda {

namespace {

std::string trimmed(const std::string &s) {
  size_t a = s.find_first_not_of(" \n\t"), b = s.find_last_not_of(" \n\t");
  return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}

PyObject *default_from(const std::string &text, const Param &p) {
  if (text == "None") return Py_NewRef(Py_None);
  if (text == "True") return Py_NewRef(Py_True);
  if (text == "False") return Py_NewRef(Py_False);
  if (p.type == ArgType::Str) return Owned(PyUnicode_FromString(text.substr(1, text.size() - 2).c_str())).release();
  if (text == "[]" || text == "()") return Owned(PyTuple_New(0)).release();
  if (text.find_first_of(".einf") != std::string::npos) return Owned(PyFloat_FromDouble(std::stod(text))).release();
  return Owned(PyLong_FromLongLong(std::stoll(text))).release();
}

ArgType type_from(const std::string &t) {
  static const std::pair<const char *, ArgType> kTypes[] = {{"Tensor", ArgType::TensorT},
                                                            {"Tensor[]", ArgType::TensorList},
                                                            {"Tensor?[]", ArgType::TensorList},
                                                            {"Tensor|Number", ArgType::TensorOrNumber},
                                                            {"Number|Tensor", ArgType::TensorOrNumber},
                                                            {"Number", ArgType::Number},
                                                            {"float", ArgType::Number},
                                                            {"int", ArgType::Int},
                                                            {"int[]", ArgType::IntList},
                                                            {"bool", ArgType::Bool},
                                                            {"dtype", ArgType::DTypeT},
                                                            {"str", ArgType::Str},
                                                            {"object", ArgType::Object}};
  for (const auto &[name, type] : kTypes)
    if (t == name) return type;
  throw ValueFault(format("schema: unknown type '%s'", t.c_str()));
}

const char *expected(const Param &p) {
  switch (p.type) {
  case ArgType::TensorT:
    return "Tensor";
  case ArgType::TensorList:
    return "tuple of Tensors";
  case ArgType::TensorOrNumber:
    return "Tensor or Number";
  case ArgType::Number:
    return "Number";
  case ArgType::Int:
    return "int";
  case ArgType::IntList:
    return "tuple of ints";
  case ArgType::Bool:
    return "bool";
  case ArgType::DTypeT:
    return "taeda.dtype";
  case ArgType::Str:
    return "str";
  case ArgType::Object:
    break;
  }
  return "object";
}

bool index_value(PyObject *o, int64_t *out) { // ints and index objects; a 0-d integer tensor counts as one
  if (PyLong_CheckExact(o)) {
    int overflow = 0;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow) throw RuntimeFault("Overflow when unpacking long");
    *out = v;
    return true;
  }
  if (PyFloat_Check(o) || !PyIndex_Check(o)) return false;
  Owned i(PyNumber_Index(o));
  return index_value(i.get(), out);
}

bool tensor_list(PyObject *o, Arg &a) {
  if (!PyList_Check(o) && !PyTuple_Check(o)) return false;
  std::vector<TensorRef> list;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  list.reserve(size_t(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject *item = PySequence_Fast_GET_ITEM(o, i);
    if (item == Py_None)
      list.emplace_back();
    else if (is_tensor(item))
      list.emplace_back(tensor_ptr(item));
    else
      return false;
  }
  a.v = std::move(list);
  return true;
}

bool int_list(PyObject *o, Arg &a) {
  int64_t one;
  if (PyList_Check(o) || PyTuple_Check(o)) {
    Dims d;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
    bool symbolic = false;
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject *item = PySequence_Fast_GET_ITEM(o, i);
      if (tracing_depth && is_symbolic(item)) {
        symbolic = true;
        continue;
      }
      if (!index_value(item, &one)) return false;
      d.push_back(one);
    }
    if (symbolic)
      a.object = Owned::borrow(o);
    else
      a.v = d;
    return true;
  }
  if (index_value(o, &one)) {
    a.v = Dims{one};
    return true;
  }
  return false;
}

// True if `o` fits; fills `a`.
bool convert(const Param &p, PyObject *o, Arg &a) {
  if (o == Py_None) return p.optional;
  switch (p.type) {
  case ArgType::TensorT:
    if (!is_tensor(o)) return false;
    a.v = TensorRef(tensor_ptr(o));
    return true;
  case ArgType::TensorList:
    return tensor_list(o, a);
  case ArgType::TensorOrNumber:
    if (is_tensor(o)) {
      a.v = TensorRef(tensor_ptr(o));
      return true;
    }
    [[fallthrough]];
  case ArgType::Number: {
    Scalar s;
    if (tracing_depth && is_symbolic(o)) {
      a.object = Owned::borrow(o);
      return true;
    }
    if (is_tensor(o)) {
      Tensor *t = tensor_ptr(o);
      if (t->numel() != 1 || t->requires_grad() || t->traced) return false;
      s = Scalar::load(t->dtype, t->data());
    } else if (!scalar_from(o, &s))
      return false;
    a.v = s;
    return true;
  }
  case ArgType::Int: {
    int64_t v;
    if (tracing_depth && is_symbolic(o)) {
      a.object = Owned::borrow(o);
      return true;
    }
    if (PyBool_Check(o) || !index_value(o, &v)) return false;
    a.v = Scalar::of(v);
    return true;
  }
  case ArgType::IntList:
    if (tracing_depth && is_symbolic(o)) {
      a.object = Owned(PyTuple_Pack(1, o));
      return true;
    }
    return int_list(o, a);
  case ArgType::Bool:
    if (!PyBool_Check(o)) return false;
    a.v = Scalar::of(o == Py_True);
    return true;
  case ArgType::DTypeT: {
    DType d;
    if (!dtype_from(o, &d)) return false;
    a.v = d;
    return true;
  }
  case ArgType::Str: {
    if (!PyUnicode_Check(o)) return false;
    const char *s = PyUnicode_AsUTF8(o);
    if (!s) throw PythonError{};
    a.v = std::string(s);
    return true;
  }
  case ArgType::Object:
    a.object = Owned::borrow(o);
    return true;
  }
  return false;
}

// The parameter that NumPy calls `key`, which PyTorch's functions take too.
const char *numpy_name(PyObject *key) {
  static const char *const kNames[][2] = {{"axis", "dim"}, {"keepdims", "keepdim"}, {"x", "input"},
                                          {"a", "input"},  {"x1", "input"},         {"x2", "other"}};
  for (const auto &pair : kNames)
    if (PyUnicode_CompareWithASCIIString(key, pair[0]) == 0) return pair[1];
  return nullptr;
}

} // namespace

Schema parse_schema(const std::string &text) {
  std::string body = trimmed(text);
  if (body.size() < 2 || body.front() != '(' || body.back() != ')')
    throw ValueFault(format("schema: expected '(...)', got '%s'", text.c_str()));
  body = body.substr(1, body.size() - 2);
  Schema schema;
  bool kw_only = false;
  size_t start = 0;
  while (start <= body.size()) {
    size_t end = std::min(body.find(',', start), body.size());
    std::string part = trimmed(body.substr(start, end - start));
    start = end + 1;
    if (part.empty()) continue;
    if (part == "*") {
      kw_only = true;
      continue;
    }
    Param p;
    p.kw_only = kw_only;
    size_t equals = part.find('=');
    std::string head = trimmed(part.substr(0, equals));
    size_t space = head.rfind(' ');
    if (space == std::string::npos) throw ValueFault(format("schema: expected 'type name', got '%s'", head.c_str()));
    p.name = head.substr(space + 1);
    p.type_text = trimmed(head.substr(0, space));
    std::string base = p.type_text;
    if (base.back() == '?') {
      p.optional = true;
      base.pop_back();
    }
    p.type = type_from(base);
    p.interned = Owned(PyUnicode_InternFromString(p.name.c_str())).release();
    if (equals != std::string::npos) {
      p.has_default = true;
      p.default_value = default_from(trimmed(part.substr(equals + 1)), p);
      if (p.default_value == Py_None) p.optional = true;
    }
    if (!kw_only) ++schema.positional;
    schema.params.push_back(std::move(p));
  }
  return schema;
}

bool parse_args(Op &op, PyObject *const *given, size_t count, PyObject *kwnames, Args &args, std::string *error) {
  const auto &params = op.schema.params;
  auto fail = [&](std::string message) {
    if (!error) throw TypeFault(message);
    *error = std::move(message);
    return false;
  };
  const char *name = op.title();
  args.clear();
  args.resize(params.size());
  size_t positional = op.schema.positional, used = std::min(count, positional);
  uint64_t seen = 0;
  // x.view(2, 3): a last positional int[] takes the rest
  bool varargs =
      positional > 0 && params[positional - 1].type == ArgType::IntList && count >= positional &&
      (count > positional || PyIndex_Check(given[count - 1]) || (tracing_depth && is_symbolic(given[count - 1])));
  if (count > positional && !varargs)
    return fail(format("%s() takes %zu positional argument%s but %zu were given", name, positional,
                       positional == 1 ? "" : "s", count));
  size_t plain = varargs ? positional - 1 : used;
  for (size_t i = 0; i < plain; ++i) {
    if (!convert(params[i], given[i], args[i]))
      return fail(format("%s(): argument '%s' (position %zu) must be %s, not %s", name, params[i].name.c_str(), i + 1,
                         expected(params[i]), Py_TYPE(given[i])->tp_name));
    seen |= uint64_t(1) << i;
  }
  if (varargs) {
    Owned rest(PyTuple_New(Py_ssize_t(count - plain)));
    for (size_t i = plain; i < count; ++i) PyTuple_SET_ITEM(rest.get(), Py_ssize_t(i - plain), Py_NewRef(given[i]));
    if (!convert(params[plain], rest.get(), args[plain]))
      return fail(format("%s(): argument '%s' (position %zu) must be %s, not %s", name, params[plain].name.c_str(),
                         plain + 1, expected(params[plain]), Py_TYPE(given[plain])->tp_name));
    seen |= uint64_t(1) << plain;
  }
  size_t keywords = kwnames ? size_t(PyTuple_GET_SIZE(kwnames)) : 0;
  for (size_t k = 0; k < keywords; ++k) {
    PyObject *key = PyTuple_GET_ITEM(kwnames, Py_ssize_t(k));
    size_t i = 0;
    while (i < params.size() && params[i].interned != key) ++i;
    if (i == params.size())
      for (i = 0; i < params.size(); ++i)
        if (PyUnicode_Compare(params[i].interned, key) == 0) break;
    if (i == params.size()) {
      const char *other = numpy_name(key);
      for (i = 0; other && i < params.size() && params[i].name != other; ++i) {
      }
      if (!other) i = params.size();
    }
    if (i == params.size())
      return fail(format("%s() got an unexpected keyword argument '%s'", name, PyUnicode_AsUTF8(key)));
    if (seen >> i & 1) return fail(format("%s() got multiple values for argument '%s'", name, params[i].name.c_str()));
    if (!convert(params[i], given[count + k], args[i]))
      return fail(format("%s(): argument '%s' must be %s, not %s", name, params[i].name.c_str(), expected(params[i]),
                         Py_TYPE(given[count + k])->tp_name));
    seen |= uint64_t(1) << i;
  }
  for (size_t i = 0; i < params.size(); ++i) {
    if (seen >> i & 1) continue;
    const Param &p = params[i];
    if (!p.has_default && !p.optional)
      return fail(format("%s() missing 1 required positional argument: '%s'", name, p.name.c_str()));
    if (p.has_default) convert(p, p.default_value, args[i]);
  }
  return true;
}

void fill_defaults(Op &op, Args &args) {
  for (size_t i = args.size(); i < op.schema.params.size(); ++i) {
    Arg a;
    const Param &p = op.schema.params[i];
    if (p.has_default) convert(p, p.default_value, a);
    args.push_back(std::move(a));
  }
}

Arg tensor_arg(const TensorRef &t) {
  Arg a;
  if (t) a.v = t;
  return a;
}
Arg dims_arg(const Dims &d) {
  Arg a;
  a.v = d;
  return a;
}
Arg dtype_arg(DType d) {
  Arg a;
  a.v = d;
  return a;
}
Arg int_arg(int64_t i) {
  Arg a;
  a.v = Scalar::of(i);
  return a;
}
Arg bool_arg(bool b) {
  Arg a;
  a.v = Scalar::of(b);
  return a;
}

PyObject *arg_object(const Arg &a) {
  if (a.object) return Py_NewRef(a.object.get());
  switch (a.v.index()) {
  case 1:
    return wrap(a.tensor());
  case 2: {
    Owned list(PyList_New(Py_ssize_t(a.tensors().size())));
    for (size_t i = 0; i < a.tensors().size(); ++i) {
      const TensorRef &t = a.tensors()[i];
      PyList_SET_ITEM(list.get(), Py_ssize_t(i), t ? wrap(t) : Py_NewRef(Py_None));
    }
    return list.release();
  }
  case 3: {
    const Scalar &s = a.scalar();
    switch (s.kind) {
    case Scalar::B:
      return PyBool_FromLong(s.v.b);
    case Scalar::I:
      return Owned(PyLong_FromLongLong(s.v.i)).release();
    case Scalar::F:
      return Owned(PyFloat_FromDouble(s.v.f)).release();
    case Scalar::C:
      return Owned(PyComplex_FromDoubles(s.c.real(), s.c.imag())).release();
    }
    break;
  }
  case 4:
    return int_tuple(a.dims());
  case 5:
    return Py_NewRef(dtype_object(std::get<DType>(a.v)));
  case 6:
    return Owned(PyUnicode_FromString(std::get<std::string>(a.v).c_str())).release();
  default:
    break;
  }
  return Py_NewRef(Py_None);
}

} // namespace taeda

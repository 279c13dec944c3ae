// Errors: C++ faults and runtime status codes as Python exceptions of PyTorch's types.
#include <cstdarg>
#include <cstdio>
#include <new>

#include "py_common.h"

namespace taeda {

std::string format(const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = std::vsnprintf(nullptr, 0, fmt, args);
  va_end(args);
  std::string text(n > 0 ? size_t(n) : 0, '\0');
  if (n > 0) std::vsnprintf(text.data(), text.size() + 1, fmt, again);
  va_end(again);
  return text;
}

void check_status(td_status s, const char *op) {
  if (s == TD_OK) return;
  std::string text = std::string(op) + ": " + td_last_error();
  switch (s) {
  case TD_ERR_MEMORY:
    throw MemoryFault(text);
  case TD_ERR_INDEX:
    throw IndexFault(text);
  case TD_ERR_VALUE:
    throw ValueFault(text);
  default:
    throw RuntimeFault(text);
  }
}

void raise_current_exception() noexcept {
  auto set = [](PyObject *type, const char *text) { PyErr_SetString(type, text); };
  try {
    throw;
  } catch (const PythonError &) {
    if (!PyErr_Occurred()) set(PyExc_SystemError, "an error was reported without an exception");
  } catch (nb::python_error &e) {
    e.restore();
  } catch (const UnsupportedFault &e) {
    set(PyExc_NotImplementedError, e.what());
  } catch (const RuntimeFault &e) {
    set(PyExc_RuntimeError, e.what());
  } catch (const TypeFault &e) {
    set(PyExc_TypeError, e.what());
  } catch (const ValueFault &e) {
    set(PyExc_ValueError, e.what());
  } catch (const IndexFault &e) {
    set(PyExc_IndexError, e.what());
  } catch (const MemoryFault &e) {
    set(PyExc_RuntimeError, e.what());
  } catch (const nb::builtin_exception &e) {
    switch (e.type()) {
    case nb::exception_type::stop_iteration:
      return set(PyExc_StopIteration, e.what());
    case nb::exception_type::index_error:
      return set(PyExc_IndexError, e.what());
    case nb::exception_type::key_error:
      return set(PyExc_KeyError, e.what());
    case nb::exception_type::value_error:
      return set(PyExc_ValueError, e.what());
    case nb::exception_type::type_error:
      return set(PyExc_TypeError, e.what());
    case nb::exception_type::attribute_error:
      return set(PyExc_AttributeError, e.what());
    case nb::exception_type::import_error:
      return set(PyExc_ImportError, e.what());
    default:
      return set(PyExc_RuntimeError, e.what());
    }
  } catch (const std::bad_alloc &) {
    set(PyExc_RuntimeError, "out of memory");
  } catch (const std::exception &e) {
    set(PyExc_RuntimeError, e.what());
  } catch (...) {
    set(PyExc_SystemError, "unknown C++ exception");
  }
}

} // namespace taeda

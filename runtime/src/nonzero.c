/* Coordinates of true elements. */
#include "nest.h"

int64_t td_nonzero_count(const char *src, const int64_t *strides, int ndim, const int64_t *sizes) {
  if (td_product(sizes, ndim) == 0) return 0;
  td_nest t;
  td_operand operand = {(char *)(uintptr_t)src, strides};
  td_nest_begin(&t, 1);
  td_nest_add(&t, &operand, sizes, 0, ndim);
  td_nest_sort(&t, 0);
  td_nest_coalesce(&t);
  int64_t count = 0, step = t.ndim > 0 ? t.stride[t.ndim - 1][0] : 1;
  td_cursor c;
  td_cursor_start(&c, &t, t.ndim, &operand.data, 0, td_product(t.size, t.ndim));
  for (int64_t span; c.left > 0; td_cursor_advance(&c, span)) {
    span = td_cursor_span(&c);
    const char *p = c.ptr[0];
    if (step == 1)
      for (int64_t i = 0; i < span; ++i) count += p[i] != 0;
    else
      for (int64_t i = 0; i < span; ++i) count += p[i * step] != 0;
  }
  return count;
}

/* Walks in logical order, so dims are neither sorted nor merged. */
void td_nonzero_fill(const char *src, const int64_t *strides, int ndim, const int64_t *sizes, int64_t *out) {
  int64_t at[TD_MAX_DIMS] = {0};
  int64_t total = td_product(sizes, ndim);
  if (total == 0 || ndim == 0) return; /* a scalar has no coordinates */
  int last = ndim - 1;
  int64_t n = sizes[last], step = strides[last];
  for (int64_t rows = total / n; rows > 0; --rows) {
    for (int64_t i = 0; i < n; ++i) {
      if (!src[i * step]) continue;
      for (int d = 0; d < last; ++d) *out++ = at[d];
      *out++ = i;
    }
    for (int d = last - 1; d >= 0; --d) {
      src += strides[d];
      if (++at[d] < sizes[d]) break;
      src -= strides[d] * sizes[d];
      at[d] = 0;
    }
  }
}

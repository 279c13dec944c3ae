/* Loop nests: the dims of an iteration space with the strides of all operands, brought into the simplest equal form,
   and a cursor that walks rows of it. */
#ifndef TAEDA_RT_NEST_H
#define TAEDA_RT_NEST_H
#include "internal.h"

typedef struct td_nest {
  int ndim, nops;
  int64_t size[TD_MAX_DIMS];
  int64_t stride[TD_MAX_DIMS][TD_MAX_OPERANDS]; /* rows are what kernels take as elem_stride and row_stride */
} td_nest;

static const int64_t td_zero_strides[TD_MAX_OPERANDS];

static inline void td_nest_begin(td_nest *t, int nops) {
  t->ndim = 0;
  t->nops = nops;
}

/* Appends dims [from, to) of the operands; dims of size 1 are dropped. */
static inline void td_nest_add(td_nest *t, const td_operand *ops, const int64_t *sizes, int from, int to) {
  for (int d = from; d < to; ++d) {
    if (sizes[d] == 1) continue;
    int64_t *stride = t->stride[t->ndim];
    t->size[t->ndim++] = sizes[d];
    for (int j = 0; j < t->nops; ++j) stride[j] = ops[j].strides[d];
  }
}

/* True if dim a should be inside dim b: decided by the first operand, counted from `lead`, that tells them apart. */
static inline bool td_nest_inside(const td_nest *t, int a, int b, int lead) {
  for (int i = 0, j = lead; i < t->nops; ++i, j = j + 1 == t->nops ? 0 : j + 1) {
    int64_t x = td_abs(t->stride[a][j]), y = td_abs(t->stride[b][j]);
    if (x != y && x != 0 && y != 0) return x < y;
  }
  return false;
}

static inline void td_nest_swap(td_nest *t, int a, int b) {
  int64_t size = t->size[a];
  t->size[a] = t->size[b];
  t->size[b] = size;
  for (int j = 0; j < t->nops; ++j) {
    int64_t stride = t->stride[a][j];
    t->stride[a][j] = t->stride[b][j];
    t->stride[b][j] = stride;
  }
}

/* Orders dims from the largest stride to the smallest, operand `lead` first. Only where order has no meaning. */
static inline void td_nest_sort(td_nest *t, int lead) {
  for (int i = 1; i < t->ndim; ++i)
    for (int d = i; d > 0 && td_nest_inside(t, d - 1, d, lead); --d) td_nest_swap(t, d - 1, d);
}

/* Merges neighbours that every operand walks as one dim. */
static inline void td_nest_coalesce(td_nest *t) {
  if (t->ndim < 2) return;
  int last = 0;
  for (int d = 1; d < t->ndim; ++d) {
    bool merge = true;
    for (int j = 0; merge && j < t->nops; ++j) merge = t->stride[last][j] == t->stride[d][j] * t->size[d];
    if (merge) {
      t->size[last] *= t->size[d];
    } else if (++last != d) {
      t->size[last] = t->size[d];
    }
    if (last != d) memcpy(t->stride[last], t->stride[d], (size_t)t->nops * sizeof(int64_t));
  }
  t->ndim = last + 1;
}

/* Walks rows [first, first + count) of the first `dims` dims (flattened, the last one fastest) in spans that lie in one
   run of the last dim. With dims == 0 there is one row. */
typedef struct td_cursor {
  const td_nest *nest;
  int dims;
  int64_t left;
  int64_t at[TD_MAX_DIMS];
  char *ptr[TD_MAX_OPERANDS];
} td_cursor;

static inline void td_cursor_move(td_cursor *c, int dim, int64_t steps) {
  const int64_t *stride = c->nest->stride[dim];
  for (int j = 0; j < c->nest->nops; ++j) c->ptr[j] += steps * stride[j];
}

static inline void td_cursor_start(td_cursor *c, const td_nest *t, int dims, char *const *base, int64_t first,
                                   int64_t count) {
  c->nest = t;
  c->dims = dims;
  c->left = count;
  for (int j = 0; j < t->nops; ++j) c->ptr[j] = base[j];
  for (int d = dims - 1; d >= 0; --d) {
    c->at[d] = first % t->size[d];
    first /= t->size[d];
    if (c->at[d]) td_cursor_move(c, d, c->at[d]);
  }
}

/* Rows that follow in the last dim, 0 at the end. */
static inline int64_t td_cursor_span(const td_cursor *c) {
  return c->dims ? td_min(c->left, c->nest->size[c->dims - 1] - c->at[c->dims - 1]) : c->left;
}

/* Goes on by at most one span. */
static inline void td_cursor_advance(td_cursor *c, int64_t rows) {
  c->left -= rows;
  if (c->left <= 0) return;
  int d = c->dims - 1;
  td_cursor_move(c, d, rows);
  c->at[d] += rows;
  for (; d > 0 && c->at[d] == c->nest->size[d]; --d) {
    td_cursor_move(c, d, -c->at[d]);
    c->at[d] = 0;
    td_cursor_move(c, d - 1, 1);
    ++c->at[d - 1];
  }
}
#endif

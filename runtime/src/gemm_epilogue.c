/* Epilogues of contractions: the row kernel that follows runs on each block while it is in cache. */
#include "gemm_epilogue.h"

#include "internal.h"

static void join_dims(td_gemm_dims *out, const td_group *g, const td_epilogue *e, int n_ops, int first_dim) {
  out->ndim = 0;
  for (int d = 0; d < g->ndim; ++d) {
    if (g->sizes[d] == 1) continue;
    int at = out->ndim - 1;
    bool joins = at >= 0;
    for (int o = 0; o < n_ops && joins; ++o)
      joins = out->strides[o][at] == e->ops[o].strides[first_dim + d] * g->sizes[d];
    if (!joins) {
      at = out->ndim++;
      out->sizes[at] = 1;
    }
    out->sizes[at] *= g->sizes[d];
    for (int o = 0; o < n_ops; ++o) out->strides[o][at] = e->ops[o].strides[first_dim + d];
  }
}

void td_gemm_prepare_epilogue(td_gemm_epilogue *e, const td_epilogue *from, const td_group *batch, const td_group *m,
                              const td_group *n) {
  e->k = from->k;
  e->ops = from->ops;
  e->n_ops = (int)(from->k->n_out + from->k->n_in);
  join_dims(&e->batch, batch, from, e->n_ops, 0);
  join_dims(&e->m, m, from, e->n_ops, batch->ndim);
  join_dims(&e->n, n, from, e->n_ops, batch->ndim + m->ndim);
}

/* Adds the offset of logical position `at` of a group to every operand's. */
static void advance(const td_gemm_dims *g, int n_ops, int64_t at, char *const *from, char **to) {
  int64_t index[TD_MAX_DIMS];
  for (int d = g->ndim - 1; d >= 0; --d) {
    index[d] = at % g->sizes[d];
    at /= g->sizes[d];
  }
  for (int o = 0; o < n_ops; ++o) {
    int64_t offset = 0;
    for (int d = 0; d < g->ndim; ++d) offset += index[d] * g->strides[o][d];
    to[o] = from[o] + offset;
  }
}

void td_gemm_run_epilogue(const td_gemm_epilogue *e, int64_t batch, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  char *base[TD_MAX_OPERANDS], *row[TD_MAX_OPERANDS], *place[TD_MAX_OPERANDS];
  int64_t elem[TD_MAX_OPERANDS], step[TD_MAX_OPERANDS];
  for (int o = 0; o < e->n_ops; ++o) {
    base[o] = e->ops[o].data;
    elem[o] = e->n.ndim ? e->n.strides[o][e->n.ndim - 1] : 0;
    step[o] = e->m.ndim ? e->m.strides[o][e->m.ndim - 1] : 0;
  }
  advance(&e->batch, e->n_ops, batch, base, base);
  int64_t run_m = e->m.ndim ? e->m.sizes[e->m.ndim - 1] : 1, run_n = e->n.ndim ? e->n.sizes[e->n.ndim - 1] : 1;
  td_row_fn fn = (td_row_fn)e->k->fn;
  for (int64_t i = m0; i < m1;) {
    int64_t rows = td_min(m1 - i, run_m - i % run_m);
    advance(&e->m, e->n_ops, i, base, row);
    for (int64_t j = n0; j < n1;) {
      int64_t columns = td_min(n1 - j, run_n - j % run_n);
      advance(&e->n, e->n_ops, j, row, place);
      fn(place, elem, step, columns, rows, 0, NULL);
      j += columns;
    }
    i += rows;
  }
}

/* td_map: elementwise kernels over any strided operands. */
#include "nest.h"

/* Where an operand lies across the others (a transpose), kernels run over tiles of this many elements each way, so that
   the cache lines it touches are used whole. */
#define TILE 64

typedef struct map_job {
  const td_kernel *k;
  td_nest *nest;
  char *const *base;
  int64_t rows;          /* of the dims outside the inner one, flattened */
  int64_t n;             /* elements of the inner dim */
  int64_t block_rows;    /* a block is this many rows ... */
  int64_t block_columns; /* ... of this many elements; one of them is the whole extent or block_rows is 1 */
  bool crossed;          /* use tiles */
  atomic_int failed;
} map_job;

/* Rows [first, first + count), columns [i0, i0 + n). */
static void map_rows(const map_job *job, int64_t first, int64_t count, int64_t i0, int64_t n, void *scratch) {
  td_row_fn fn = (td_row_fn)job->k->fn;
  const td_nest *t = job->nest;
  int dims = t->ndim > 0 ? t->ndim - 1 : 0;
  const int64_t *inner = t->ndim > 0 ? t->stride[t->ndim - 1] : td_zero_strides;
  const int64_t *outer = dims > 0 ? t->stride[dims - 1] : td_zero_strides;
  /* With an index a call covers whole rows or one part of a row. */
  bool indexed = job->k->flags & TD_K_INDEX;
  int64_t most = indexed && n != job->n ? 1 : job->crossed ? TILE : count;
  int64_t width = job->crossed ? TILE : n;
  char *ptr[TD_MAX_OPERANDS];
  td_cursor c;
  td_cursor_start(&c, t, dims, job->base, first, count);
  for (int64_t span; c.left > 0; td_cursor_advance(&c, span)) {
    span = td_min(td_cursor_span(&c), most);
    int64_t index = (first + count - c.left) * job->n;
    for (int64_t i = i0; i < i0 + n; i += width) {
      for (int j = 0; j < t->nops; ++j) ptr[j] = c.ptr[j] + i * inner[j];
      fn(ptr, inner, outer, td_min(width, i0 + n - i), span, index + i, scratch);
    }
  }
}

static void map_blocks(void *ctx, int64_t begin, int64_t end) {
  map_job *job = ctx;
  void *scratch = NULL;
  if (job->k->scratch_per_elem) {
    scratch = td_alloc((size_t)job->block_columns * job->k->scratch_per_elem);
    if (!scratch) {
      atomic_store(&job->failed, 1);
      return;
    }
  }
  int64_t pieces = td_ceil_div(job->n, job->block_columns);
  for (int64_t block = begin; block < end; ++block) {
    int64_t row = block / pieces * job->block_rows, i0 = block % pieces * job->block_columns;
    map_rows(job, row, td_min(job->block_rows, job->rows - row), i0, td_min(job->block_columns, job->n - i0), scratch);
  }
  td_free(scratch);
}

static bool is_crossed(const td_nest *t) {
  if (t->ndim < 2 || t->size[t->ndim - 1] <= TILE || t->size[t->ndim - 2] < 8) return false;
  const int64_t *inner = t->stride[t->ndim - 1], *outer = t->stride[t->ndim - 2];
  for (int j = 0; j < t->nops; ++j)
    if (outer[j] != 0 && td_abs(inner[j]) > td_abs(outer[j])) return true;
  return false;
}

td_status td_map(const td_kernel *k, const td_operand *ops, int ndim, const int64_t *sizes) {
  int nops = (int)(k->n_out + k->n_in);
  int64_t total = 1;
  for (int d = 0; d < ndim; ++d) total *= sizes[d];
  if (total == 0) return TD_OK;
  td_nest nest;
  char *base[TD_MAX_OPERANDS];
  td_nest_begin(&nest, nops);
  td_nest_add(&nest, ops, sizes, 0, ndim);
  if (nest.ndim > 1) {
    if (!(k->flags & TD_K_INDEX)) td_nest_sort(&nest, 0);
    td_nest_coalesce(&nest);
  }
  for (int j = 0; j < nops; ++j) base[j] = ops[j].data;

  int64_t per_block = td_block_elements(k->cost);
  int64_t n = nest.ndim > 0 ? nest.size[nest.ndim - 1] : 1;
  if (total <= per_block && nest.ndim <= 2 && !k->scratch_per_elem) {
    const int64_t *inner = nest.ndim > 0 ? nest.stride[nest.ndim - 1] : td_zero_strides;
    const int64_t *outer = nest.ndim > 1 ? nest.stride[0] : td_zero_strides;
    ((td_row_fn)k->fn)(base, inner, outer, n, total / n, 0, NULL);
    return TD_OK;
  }
  map_job job = {.k = k, .nest = &nest, .base = base, .rows = total / n, .n = n, .crossed = false};
  job.crossed = !(k->flags & TD_K_INDEX) && !k->scratch_per_elem && is_crossed(&nest);
  /* Blocks of equal size; a cut within rows falls on a multiple of 64 elements. */
  if (n >= per_block) {
    job.block_rows = 1;
    job.block_columns = td_round_up(td_ceil_div(n, td_ceil_div(n, per_block)), 64);
  } else {
    int64_t blocks = td_ceil_div(total, per_block);
    job.block_rows = td_ceil_div(job.rows, td_min(blocks, job.rows));
    job.block_columns = n;
  }
  td_parallel_for(td_ceil_div(job.rows, job.block_rows) * td_ceil_div(n, job.block_columns), map_blocks, &job);
  return td_job_status(job.failed, "map");
}

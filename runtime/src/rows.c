/* td_rows and td_scan: kernels that take whole rows. */
#include "nest.h"

/* An operand whose run is not one stride is copied to scratch in batches of about this many bytes. */
#define BATCH_BYTES (INT64_C(1) << 17)

typedef struct row_job {
  const td_kernel *k;
  const td_nest *nest; /* of the outer dims */
  char *const *base;
  const td_operand *ops;
  const uint8_t *elem_size;
  int run_begin, run_dims;
  const int64_t *run_sizes;
  int64_t n, rows, block_rows;
  int copies; /* operands that are copied, listed in `copied` */
  uint8_t copied[TD_MAX_OPERANDS];
  int64_t elem_stride[TD_MAX_OPERANDS]; /* along the run; of a copied operand: its element size */
  int64_t batch_rows;                   /* rows a copy holds */
  int64_t pieces, state_stride;         /* of a row cut into blocks */
  char *states;
  atomic_int failed;
} row_job;

/* The stride of the run of one operand if it has a single one. */
static bool run_stride(const int64_t *strides, int ndim, const int64_t *sizes, int64_t *out) {
  int64_t stride = 0, next = 0;
  bool any = false;
  for (int d = ndim - 1; d >= 0; --d) {
    if (sizes[d] == 1) continue;
    if (!any) {
      stride = strides[d];
      any = true;
    } else if (strides[d] != next) {
      return false;
    }
    next = strides[d] * sizes[d];
  }
  *out = any ? stride : ndim > 0 ? strides[ndim - 1] : 0;
  return true;
}

static void copy_in(const row_job *job, int j, char *dst, const char *src, int64_t first, int64_t n) {
  td_copy_range(dst, src, job->run_dims, job->run_sizes, job->ops[j].strides + job->run_begin, first, n, 1, 0,
                job->elem_size[j]);
}

static void copy_out(const row_job *job, int j, char *dst, const char *src) {
  int64_t packed[TD_MAX_DIMS];
  int64_t stride = job->elem_size[j];
  for (int d = job->run_dims - 1; d >= 0; --d) {
    packed[d] = stride;
    stride *= job->run_sizes[d];
  }
  td_copy(dst, job->ops[j].strides + job->run_begin, src, packed, job->run_dims, job->run_sizes, job->elem_size[j]);
}

/* Scratch of one thread: what the kernel wants, then a batch of rows of each copied operand. NULL if there is none. */
static char *make_scratch(const row_job *job, char **copies) {
  int64_t at = td_round_up(job->n * job->k->scratch_per_elem, 64), offset[TD_MAX_OPERANDS];
  for (int c = 0; c < job->copies; ++c) {
    offset[c] = at;
    at += td_round_up(job->batch_rows * job->n * job->elem_size[job->copied[c]], 64);
  }
  char *scratch = td_alloc((size_t)at);
  for (int c = 0; scratch && c < job->copies; ++c) copies[c] = scratch + offset[c];
  return scratch;
}

static void row_blocks(void *ctx, int64_t begin, int64_t end) {
  row_job *job = ctx;
  const td_kernel *k = job->k;
  const td_nest *t = job->nest;
  char *copies[TD_MAX_OPERANDS], *scratch = NULL;
  if (k->scratch_per_elem || job->copies) {
    scratch = make_scratch(job, copies);
    if (!scratch) {
      atomic_store(&job->failed, 1);
      return;
    }
  }
  int64_t row_stride[TD_MAX_OPERANDS];
  memcpy(row_stride, t->ndim > 0 ? t->stride[t->ndim - 1] : td_zero_strides, (size_t)t->nops * sizeof(int64_t));
  for (int c = 0; c < job->copies; ++c) row_stride[job->copied[c]] = job->n * job->elem_size[job->copied[c]];
  int64_t first = begin * job->block_rows, count = td_min(end * job->block_rows, job->rows) - first;
  td_cursor c;
  td_cursor_start(&c, t, t->ndim, job->base, first, count);
  for (int64_t span; c.left > 0; td_cursor_advance(&c, span)) {
    span = td_cursor_span(&c);
    int64_t index = (first + count - c.left) * job->n;
    if (!job->copies) {
      ((td_row_fn)k->fn)(c.ptr, job->elem_stride, row_stride, job->n, span, index, scratch);
      continue;
    }
    span = td_min(span, job->batch_rows);
    char *ptr[TD_MAX_OPERANDS];
    memcpy(ptr, c.ptr, (size_t)t->nops * sizeof *ptr);
    const int64_t *step = t->ndim > 0 ? t->stride[t->ndim - 1] : td_zero_strides;
    for (int x = 0; x < job->copies; ++x) {
      int j = job->copied[x];
      ptr[j] = copies[x];
      if (j < (int)k->n_out) continue;
      for (int64_t r = 0; r < span; ++r)
        copy_in(job, j, copies[x] + r * row_stride[j], c.ptr[j] + r * step[j], 0, job->n);
    }
    ((td_row_fn)k->fn)(ptr, job->elem_stride, row_stride, job->n, span, index, scratch);
    for (int x = 0; x < job->copies; ++x) {
      int j = job->copied[x];
      if (j >= (int)k->n_out) break;
      for (int64_t r = 0; r < span; ++r) copy_out(job, j, c.ptr[j] + r * step[j], copies[x] + r * row_stride[j]);
    }
  }
  td_free(scratch);
}

/* Blocks of TD_ROW_BLOCK elements of long rows, each to a state of its own. */
static void piece_blocks(void *ctx, int64_t begin, int64_t end) {
  row_job *job = ctx;
  const td_kernel *k = job->k;
  char *copies[TD_MAX_OPERANDS], *scratch = NULL;
  if (job->copies) {
    int64_t bytes = 0;
    for (int c = 0; c < job->copies; ++c) bytes += TD_ROW_BLOCK * job->elem_size[job->copied[c]];
    scratch = td_alloc((size_t)bytes);
    if (!scratch) {
      atomic_store(&job->failed, 1);
      return;
    }
    char *at = scratch;
    for (int c = 0; c < job->copies; ++c, at += TD_ROW_BLOCK * job->elem_size[job->copied[c - 1]]) copies[c] = at;
  }
  for (int64_t piece = begin; piece < end; ++piece) {
    int64_t i0 = piece % job->pieces * TD_ROW_BLOCK, n = td_min(TD_ROW_BLOCK, job->n - i0);
    td_cursor c;
    td_cursor_start(&c, job->nest, job->nest->ndim, job->base, piece / job->pieces, 1);
    for (int x = 0; x < job->copies; ++x) {
      int j = job->copied[x];
      if (j < (int)k->n_out) continue;
      copy_in(job, j, copies[x], c.ptr[j], i0, n);
      /* The kernel counts from element 0 of the row, which the copy does not hold. */
      c.ptr[j] = (char *)((uintptr_t)copies[x] - (uintptr_t)(i0 * job->elem_size[j]));
    }
    ((td_partial_row_fn)k->partial)(c.ptr, job->elem_stride, n, i0, job->states + piece * job->state_stride);
  }
  td_free(scratch);
}

static td_status run_pieces(row_job *job) {
  const td_kernel *k = job->k;
  job->pieces = td_ceil_div(job->n, TD_ROW_BLOCK);
  job->state_stride = td_round_up(k->state_size, 64);
  job->states = td_alloc((size_t)(job->rows * job->pieces * job->state_stride));
  if (!job->states) return td_job_status(1, "reduction");
  td_parallel_for(job->rows * job->pieces, piece_blocks, job);
  td_cursor c;
  td_cursor_start(&c, job->nest, job->nest->ndim, job->base, 0, job->rows);
  for (int64_t row = 0; row < job->rows && !job->failed; ++row, td_cursor_advance(&c, 1))
    ((td_finish_fn)k->finish)(c.ptr, job->elem_stride, job->states + row * job->pieces * job->state_stride,
                              job->state_stride, job->pieces, 1);
  td_free(job->states);
  return td_job_status(job->failed, "reduction");
}

td_status td_rows(const td_kernel *k, const td_operand *ops, const uint8_t *elem_size, int ndim, int nred,
                  const int64_t *sizes) {
  int nops = (int)(k->n_out + k->n_in), outer = ndim - nred;
  td_nest nest;
  char *base[TD_MAX_OPERANDS];
  row_job job;
  job.k = k;
  job.nest = &nest;
  job.base = base;
  job.rows = td_product(sizes, outer);
  job.n = td_product(sizes + outer, nred);
  if (job.rows == 0) return TD_OK;
  td_nest_begin(&nest, nops);
  td_nest_add(&nest, ops, sizes, 0, outer);
  if (nest.ndim > 1) {
    if (!(k->flags & TD_K_INDEX)) td_nest_sort(&nest, 0);
    td_nest_coalesce(&nest);
  }
  job.copies = 0;
  for (int j = 0; j < nops; ++j) {
    base[j] = ops[j].data;
    if (nred == 1) {
      job.elem_stride[j] = ops[j].strides[outer];
    } else if (!run_stride(ops[j].strides + outer, nred, sizes + outer, &job.elem_stride[j])) {
      job.elem_stride[j] = elem_size[j];
      job.copied[job.copies++] = (uint8_t)j;
    }
  }
  int64_t per_block = td_block_elements(k->cost), total = job.rows * job.n;
  if (total <= per_block && nest.ndim <= 1 && !job.copies && !k->scratch_per_elem) {
    const int64_t *step = nest.ndim > 0 ? nest.stride[0] : td_zero_strides;
    ((td_row_fn)k->fn)(base, job.elem_stride, step, job.n, job.rows, 0, NULL);
    return TD_OK;
  }
  job.ops = ops;
  job.elem_size = elem_size;
  job.run_begin = outer;
  job.run_dims = nred;
  job.run_sizes = sizes + outer;
  job.failed = 0;
  int threads = td_get_num_threads();
  if (k->partial && k->finish && job.n > TD_ROW_BLOCK && total > per_block && threads > 1 && job.rows < 4 * threads)
    return run_pieces(&job);
  int64_t widest = 1;
  for (int c = 0; c < job.copies; ++c) widest = td_max(widest, elem_size[job.copied[c]]);
  job.block_rows = td_max(1, td_min(job.rows, per_block / td_max(1, job.n)));
  job.batch_rows = td_max(1, td_min(job.block_rows, BATCH_BYTES / td_max(1, job.n * widest)));
  td_parallel_for(td_ceil_div(job.rows, job.block_rows), row_blocks, &job);
  return td_job_status(job.failed, "row kernel");
}

td_status td_scan(const td_kernel *k, const td_operand *ops, int ndim, int dim, const int64_t *sizes) {
  int nops = (int)(k->n_out + k->n_in);
  td_nest nest;
  char *base[TD_MAX_OPERANDS];
  if (td_product(sizes, ndim) == 0) return TD_OK;
  row_job job = {.k = k, .nest = &nest, .base = base, .n = sizes[dim]};
  td_nest_begin(&nest, nops);
  td_nest_add(&nest, ops, sizes, 0, dim);
  td_nest_add(&nest, ops, sizes, dim + 1, ndim);
  td_nest_sort(&nest, 0);
  td_nest_coalesce(&nest);
  for (int j = 0; j < nops; ++j) {
    base[j] = ops[j].data;
    job.elem_stride[j] = ops[j].strides[dim];
  }
  job.rows = td_product(nest.size, nest.ndim);
  /* At least one vector of rows side by side a block: kernels scan neighbouring rows together. */
  job.block_rows = td_round_up(td_max(1, td_block_elements(k->cost) / job.n), TD_LANES);
  td_parallel_for(td_ceil_div(job.rows, job.block_rows), row_blocks, &job);
  return td_job_status(job.failed, "scan");
}

/* td_cols: reductions over rows, vectorised over columns. Columns are independent, so all dims but the run may be
   walked in any order; the run is cut into blocks of TD_COL_BLOCK rows whose states are folded in order. */
#include "nest.h"

#define TILE_STATE_BYTES 8192         /* states of one tile of columns stay in the nearest cache */
#define COPY_BYTES (INT64_C(1) << 17) /* largest copy of a tile of one operand */

typedef struct col_job {
  const td_kernel *k;
  const td_nest *nest; /* all dims but the run; the last one runs along the columns */
  char *const *base;
  const td_operand *ops;
  const uint8_t *elem_size;
  const int64_t *sizes;
  int red_begin, nred;
  int64_t rows, blocks;         /* of the run, and its blocks of TD_COL_BLOCK rows */
  int64_t columns, tile, tiles; /* of the last dim */
  const int64_t *column_stride; /* per operand */
  int64_t row_stride[TD_MAX_OPERANDS];
  int64_t state_stride;  /* bytes of the states of one tile and block */
  int64_t group, groups; /* blocks of rows that one parallel block takes, and how many of those there are */
  char *states;          /* of all tiles, if parallel blocks take less than the whole run; else NULL */
  int copies;
  uint8_t copied[TD_MAX_OPERANDS];
  atomic_int failed;
} col_job;

typedef struct tile_place {
  char *ptr[TD_MAX_OPERANDS];
  int64_t n;
} tile_place;

/* Operands at the first row of tile number `tile` (counted over all outer dims). */
static void find_tile(const col_job *job, int64_t tile, tile_place *place) {
  int dims = job->nest->ndim > 0 ? job->nest->ndim - 1 : 0;
  int64_t column = tile % job->tiles * job->tile;
  td_cursor c;
  td_cursor_start(&c, job->nest, dims, job->base, tile / job->tiles, 1);
  for (int j = 0; j < job->nest->nops; ++j) place->ptr[j] = c.ptr[j] + column * job->column_stride[j];
  place->n = td_min(job->tile, job->columns - column);
}

/* States of row blocks [first, last) of one tile. `copy` has room for a tile of every copied operand. */
static void reduce_blocks(const col_job *job, const tile_place *place, int64_t first, int64_t last, char *states,
                          char *copy) {
  td_partial_col_fn fn = (td_partial_col_fn)job->k->fn;
  int nops = job->nest->nops;
  int64_t elem_stride[TD_MAX_OPERANDS], row_stride[TD_MAX_OPERANDS];
  memcpy(elem_stride, job->column_stride, (size_t)nops * sizeof(int64_t));
  memcpy(row_stride, job->row_stride, (size_t)nops * sizeof(int64_t));
  for (int64_t block = first; block < last; ++block) {
    char *ptr[TD_MAX_OPERANDS], *at = copy;
    int64_t r0 = block * TD_COL_BLOCK, rows = td_min(TD_COL_BLOCK, job->rows - r0);
    for (int j = 0; j < nops; ++j) ptr[j] = place->ptr[j] + r0 * job->row_stride[j];
    for (int x = 0; x < job->copies; ++x) {
      int j = job->copied[x], size = job->elem_size[j];
      td_copy_range(at, place->ptr[j], job->nred, job->sizes + job->red_begin, job->ops[j].strides + job->red_begin, r0,
                    rows, place->n, job->column_stride[j], (size_t)size);
      ptr[j] = at;
      elem_stride[j] = size;
      row_stride[j] = place->n * size;
      at += TD_COL_BLOCK * job->tile * size;
    }
    fn(ptr, elem_stride, row_stride, place->n, rows, r0, states + (block - first) * job->state_stride);
  }
}

static void finish_tile(const col_job *job, const tile_place *place, const char *states) {
  ((td_finish_fn)job->k->finish)(place->ptr, job->column_stride, states, job->state_stride, job->blocks, place->n);
}

static int64_t copy_bytes(const col_job *job) {
  int64_t bytes = 0;
  for (int x = 0; x < job->copies; ++x) bytes += TD_COL_BLOCK * job->tile * job->elem_size[job->copied[x]];
  return bytes;
}

static void col_blocks(void *ctx, int64_t begin, int64_t end) {
  col_job *job = ctx;
  int64_t own = job->states ? 0 : job->blocks * job->state_stride;
  char *scratch = NULL;
  if (own || job->copies) {
    scratch = td_alloc((size_t)(own + copy_bytes(job)));
    if (!scratch) {
      atomic_store(&job->failed, 1);
      return;
    }
  }
  tile_place place;
  for (int64_t b = begin; b < end; ++b) {
    int64_t tile = b / job->groups, first = b % job->groups * job->group;
    int64_t last = td_min(first + job->group, job->blocks);
    find_tile(job, tile, &place);
    char *states = job->states ? job->states + (tile * job->blocks + first) * job->state_stride : scratch;
    reduce_blocks(job, &place, first, last, states, scratch + own);
    if (!job->states) finish_tile(job, &place, states);
  }
  td_free(scratch);
}

static void finish_blocks(void *ctx, int64_t begin, int64_t end) {
  col_job *job = ctx;
  tile_place place;
  for (int64_t tile = begin; tile < end; ++tile) {
    find_tile(job, tile, &place);
    finish_tile(job, &place, job->states + tile * job->blocks * job->state_stride);
  }
}

/* Finds out how each operand walks the run, and which ones have to be copied: those without a single stride, and inputs
   that lie across, where a kernel would use one element of each cache line. */
static void plan_run(col_job *job) {
  job->copies = 0;
  for (int j = 0; j < job->nest->nops; ++j) {
    const int64_t *strides = job->ops[j].strides + job->red_begin, *sizes = job->sizes + job->red_begin;
    int64_t next = 0, stride = 0;
    bool any = false, single = true;
    for (int d = job->nred - 1; d >= 0; --d) {
      if (sizes[d] == 1) continue;
      if (!any) stride = strides[d];
      single = single && (!any || strides[d] == next);
      any = true;
      next = strides[d] * sizes[d];
    }
    job->row_stride[j] = single ? stride : 0;
    if (j < (int)job->k->n_out) continue;
    int64_t size = job->elem_size[j], across = td_abs(job->column_stride[j]);
    bool crossed = td_abs(stride) == size && across > 4 * size && job->rows >= 16 && job->columns >= 16;
    if (!single || crossed) job->copied[job->copies++] = (uint8_t)j;
  }
}

td_status td_cols(const td_kernel *k, const td_operand *ops, const uint8_t *elem_size, int ndim, int red_begin,
                  int nred, const int64_t *sizes) {
  int nops = (int)(k->n_out + k->n_in), red_end = red_begin + nred;
  td_nest nest;
  char *base[TD_MAX_OPERANDS];
  for (int j = 0; j < nops; ++j) base[j] = ops[j].data;
  td_nest_begin(&nest, nops);
  td_nest_add(&nest, ops, sizes, 0, red_begin);
  td_nest_add(&nest, ops, sizes, red_end, ndim);
  td_nest_sort(&nest, (int)k->n_out); /* the inputs are most of the traffic */
  td_nest_coalesce(&nest);
  /* A few columns a call would cost more in calls than a stride between many. */
  for (int d = nest.ndim - 2; d >= 0; --d)
    if (nest.size[nest.ndim - 1] < 8 && nest.size[d] > 8 * nest.size[nest.ndim - 1])
      td_nest_swap(&nest, d, nest.ndim - 1);
  int64_t all = td_product(nest.size, nest.ndim);
  if (all == 0) return TD_OK;

  col_job job = {.k = k, .nest = &nest, .base = base, .ops = ops, .elem_size = elem_size, .sizes = sizes};
  job.red_begin = red_begin;
  job.nred = nred;
  job.rows = td_product(sizes + red_begin, nred);
  job.blocks = td_max(1, td_ceil_div(job.rows, TD_COL_BLOCK));
  job.columns = nest.ndim > 0 ? nest.size[nest.ndim - 1] : 1;
  job.column_stride = nest.ndim > 0 ? nest.stride[nest.ndim - 1] : td_zero_strides;
  plan_run(&job);

  int64_t state = td_max(1, k->state_size), most = td_max(64, TILE_STATE_BYTES / state / 64 * 64);
  for (int x = 0; x < job.copies; ++x)
    most = td_min(most, td_max(16, COPY_BYTES / (TD_COL_BLOCK * elem_size[job.copied[x]])));
  int64_t per_block = td_block_elements(k->cost), total = td_max(1, job.rows) * all;
  int threads = total > per_block ? td_get_num_threads() : 1;
  job.tiles = td_ceil_div(job.columns, most);
  job.tile = td_min(job.columns, td_round_up(td_ceil_div(job.columns, job.tiles), 16));
  job.tiles = td_ceil_div(job.columns, job.tile);
  job.state_stride = td_round_up(job.tile * k->state_size, 64);
  int64_t tiles = all / job.columns * job.tiles;
  job.group = job.blocks;
  if (threads > 1 && tiles < 4 * threads && job.blocks > 1) {
    job.group = td_max(1, td_min(job.blocks, per_block / (job.tile * TD_COL_BLOCK)));
    job.states = td_alloc((size_t)(tiles * job.blocks * job.state_stride));
    if (!job.states) return td_job_status(1, "column reduction");
  }
  job.groups = td_ceil_div(job.blocks, job.group);
  if (total <= per_block)
    col_blocks(&job, 0, tiles * job.groups);
  else
    td_parallel_for(tiles * job.groups, col_blocks, &job);
  if (job.states && !job.failed) td_parallel_for(tiles, finish_blocks, &job);
  td_free(job.states);
  return td_job_status(job.failed, "column reduction");
}

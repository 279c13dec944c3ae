/* td_gather and td_scatter.

   The dims along which some index moves are the points; the others are free. Points are taken in chunks: the addresses
   on both sides are worked out once a chunk, then either each point moves a whole row of free elements, or each free
   position moves all points of the chunk, whichever walks memory in order. All indices are checked before anything is
   written. */
#include "elements.h"
#include "move.h"
#include "nest.h"

#define CHUNK 512 /* points whose addresses are kept at a time */

enum {
  DENSE = 0,
  TARGET = 1,
  FIRST_INDEX = 2
}; /* operands: the side addressed by strides, the indexed side, indices */

typedef struct access {
  td_nest points, free;
  char *base[FIRST_INDEX + TD_MAX_DIMS];
  const td_index *index;
  int n_index;
  int64_t n_points, n_free;
  bool rows;      /* each point moves its free elements; else each free position moves the points */
  bool to_target; /* scatter */
  size_t elem_size;
  const td_mover *mover;
} access;

/* ---- planning ---- */

static td_status plan(access *a, char *dense, const int64_t *dense_strides, char *target, const int64_t *target_strides,
                      int n_index, const td_index *index, int ndim, const int64_t *sizes) {
  td_operand ops[FIRST_INDEX + TD_MAX_DIMS] = {{dense, dense_strides}, {target, target_strides}};
  if (n_index < 1 || n_index > TD_MAX_DIMS)
    return td_fail(TD_ERR_SHAPE, "indexed access takes 1 to %d indices, got %d", TD_MAX_DIMS, n_index);
  for (int j = 0; j < n_index; ++j) {
    if (index[j].dtype != TD_I64 && index[j].dtype != TD_I32)
      return td_fail(TD_ERR_DTYPE, "the index of dimension %d must be int64 or int32, got dtype code %d",
                     index[j].dim < 0 ? -1 - index[j].dim : index[j].dim, index[j].dtype);
    ops[FIRST_INDEX + j] = (td_operand){(char *)(uintptr_t)index[j].data, index[j].strides};
  }
  a->index = index;
  a->n_index = n_index;
  td_nest_begin(&a->points, FIRST_INDEX + n_index);
  td_nest_begin(&a->free, 2);
  for (int d = 0; d < ndim; ++d) {
    /* A dim that meets one target again and again keeps its place in the order of points. */
    bool moves = target_strides[d] == 0;
    for (int j = 0; j < n_index; ++j) moves = moves || index[j].strides[d] != 0;
    td_nest_add(moves ? &a->points : &a->free, ops, sizes, d, d + 1);
  }
  for (int j = 0; j < FIRST_INDEX + n_index; ++j) a->base[j] = ops[j].data;
  td_nest_coalesce(&a->points);
  td_nest_sort(&a->free, DENSE);
  td_nest_coalesce(&a->free);
  a->n_points = td_product(a->points.size, a->points.ndim);
  a->n_free = td_product(a->free.size, a->free.ndim);
  int64_t point_step = a->points.ndim > 0 ? td_abs(a->points.stride[a->points.ndim - 1][DENSE]) : INT64_MAX;
  a->rows = a->free.ndim == 0 || td_abs(a->free.stride[a->free.ndim - 1][DENSE]) <= point_step;
  return TD_OK;
}

/* ---- indices ---- */

static inline int64_t load_index(const char *at, int32_t dtype) {
  return dtype == TD_I64 ? (int64_t)*(const td_e8 *)at : (int32_t)*(const td_e4 *)at;
}

/* Addresses of points [first, first + count) on both sides. */
static void locate(const access *a, int64_t first, int64_t count, char **dense, char **target) {
  const td_nest *t = &a->points;
  const int64_t *step = t->ndim > 0 ? t->stride[t->ndim - 1] : td_zero_strides;
  td_cursor c;
  td_cursor_start(&c, t, t->ndim, a->base, first, count);
  for (int64_t span; c.left > 0; td_cursor_advance(&c, span)) {
    span = td_cursor_span(&c);
    for (int64_t i = 0; i < span; ++i) dense[i] = c.ptr[DENSE] + i * step[DENSE];
    for (int64_t i = 0; i < span; ++i) target[i] = c.ptr[TARGET] + i * step[TARGET];
    for (int j = 0; j < a->n_index; ++j) {
      const td_index *x = &a->index[j];
      const char *at = c.ptr[FIRST_INDEX + j];
      int64_t stride = step[FIRST_INDEX + j];
      for (int64_t i = 0; i < span; ++i) {
        int64_t v = load_index(at + i * stride, x->dtype);
        target[i] += (v < 0 ? v + x->size : v) * x->target_stride;
      }
    }
    dense += span;
    target += span;
  }
}

typedef struct check_job {
  const access *a;
  atomic_int bad;
} check_job;

/* The position of the first index out of range among points [first, first + count), or -1. Fills in which one it is. */
static int64_t find_bad(const access *a, int64_t first, int64_t count, int *which, int64_t *value) {
  const td_nest *t = &a->points;
  td_cursor c;
  td_cursor_start(&c, t, t->ndim, a->base, first, count);
  for (int64_t span, done = first; c.left > 0; done += span, td_cursor_advance(&c, span)) {
    span = td_cursor_span(&c);
    for (int j = 0; j < a->n_index; ++j) {
      const td_index *x = &a->index[j];
      const char *at = c.ptr[FIRST_INDEX + j];
      int64_t stride = t->ndim > 0 ? t->stride[t->ndim - 1][FIRST_INDEX + j] : 0, size = x->size;
      int64_t least = x->dim < 0 ? 0 : -size;
      bool bad = false;
      for (int64_t i = 0; i < span; ++i) {
        int64_t v = load_index(at + i * stride, x->dtype);
        bad |= (v < least) | (v >= size);
      }
      for (int64_t i = 0; bad; ++i) {
        int64_t v = load_index(at + i * stride, x->dtype);
        if (v < least || v >= size) {
          *which = j;
          *value = v;
          return done + i;
        }
      }
    }
  }
  return -1;
}

static void check_blocks(void *ctx, int64_t begin, int64_t end) {
  check_job *job = ctx;
  int which;
  int64_t value, first = begin * 32 * CHUNK, count = td_min(end * 32 * CHUNK, job->a->n_points) - first;
  if (!atomic_load(&job->bad) && find_bad(job->a, first, count, &which, &value) >= 0) atomic_store(&job->bad, 1);
}

static td_status check(const access *a) {
  check_job job = {.a = a};
  td_parallel_for(td_ceil_div(a->n_points, 32 * CHUNK), check_blocks, &job);
  if (!job.bad) return TD_OK;
  int which = 0;
  int64_t value = 0;
  find_bad(a, 0, a->n_points, &which, &value); /* once more in order, so that the message is always the same */
  int dim = a->index[which].dim;
  return td_fail(TD_ERR_INDEX, "index %lld is out of bounds for dimension %d with size %lld", (long long)value,
                 dim < 0 ? -1 - dim : dim, (long long)a->index[which].size);
}

/* ---- moving ---- */

static void move_row(const access *a, char *to, char *from, int64_t i0, int64_t n) {
  int to_side = a->to_target ? TARGET : DENSE;
  const td_nest *t = &a->free;
  int64_t size = (int64_t)a->elem_size;
  if (t->ndim == 0) {
    a->mover->row(to, size, from, size, 1);
    return;
  }
  const int64_t *step = t->stride[t->ndim - 1];
  if (t->ndim == 1) {
    a->mover->row(to + i0 * step[to_side], step[to_side], from + i0 * step[!to_side], step[!to_side], n);
    return;
  }
  char *base[2];
  base[to_side] = to;
  base[!to_side] = from;
  td_cursor c;
  td_cursor_start(&c, t, t->ndim, base, i0, n);
  for (int64_t span; c.left > 0; td_cursor_advance(&c, span)) {
    span = td_cursor_span(&c);
    a->mover->row(c.ptr[to_side], step[to_side], c.ptr[!to_side], step[!to_side], span);
  }
}

/* Free elements [i0, i0 + n) of points [first, first + count). */
static void move(const access *a, int64_t first, int64_t count, int64_t i0, int64_t n) {
  char *dense[CHUNK], *target[CHUNK];
  char **to = a->to_target ? target : dense, **from = a->to_target ? dense : target;
  for (int64_t end = first + count; first < end; first += CHUNK) {
    int64_t points = td_min(CHUNK, end - first);
    locate(a, first, points, dense, target);
    if (a->free.ndim == 0) {
      a->mover->points(to, from, points, 0, 0);
    } else if (a->rows) {
      for (int64_t p = 0; p < points; ++p) move_row(a, to[p], from[p], i0, n);
    } else {
      td_cursor c;
      char *const base[2] = {a->base[DENSE], a->base[TARGET]};
      td_cursor_start(&c, &a->free, a->free.ndim, base, i0, n);
      for (; c.left > 0; td_cursor_advance(&c, 1)) {
        int64_t offset[2] = {c.ptr[DENSE] - base[DENSE], c.ptr[TARGET] - base[TARGET]};
        a->mover->points(to, from, points, offset[a->to_target ? TARGET : DENSE],
                         offset[a->to_target ? DENSE : TARGET]);
      }
    }
  }
}

/* ---- gather ---- */

typedef struct gather_job {
  const access *a;
  int64_t block_points, block_free;
} gather_job;

static void gather_blocks(void *ctx, int64_t begin, int64_t end) {
  const gather_job *job = ctx;
  const access *a = job->a;
  int64_t pieces = td_ceil_div(a->n_free, job->block_free);
  for (int64_t block = begin; block < end; ++block) {
    int64_t first = block / pieces * job->block_points, i0 = block % pieces * job->block_free;
    move(a, first, td_min(job->block_points, a->n_points - first), i0, td_min(job->block_free, a->n_free - i0));
  }
}

td_status td_gather(char *out, const int64_t *out_strides, const char *src, const int64_t *src_strides, int n_index,
                    const td_index *index, int ndim, const int64_t *sizes, size_t elem_size) {
  if (td_product(sizes, ndim) == 0) return TD_OK;
  access a;
  td_status status = plan(&a, out, out_strides, (char *)(uintptr_t)src, src_strides, n_index, index, ndim, sizes);
  if (status == TD_OK) status = check(&a);
  if (status != TD_OK) return status;
  a.to_target = false;
  a.elem_size = elem_size;
  a.mover = td_mover_set(elem_size);
  if (!a.mover) return td_fail(TD_ERR_DTYPE, "gather: elements of %zu bytes are not supported", elem_size);
  int64_t per_block = TD_BLOCK_BYTES / 4 / (int64_t)elem_size;
  gather_job job = {.a = &a};
  if (a.rows) {
    job.block_free = td_min(a.n_free, per_block);
    job.block_points = td_max(1, per_block / job.block_free);
  } else {
    job.block_points = td_min(a.n_points, CHUNK);
    job.block_free = td_max(1, td_min(a.n_free, per_block / job.block_points));
  }
  td_parallel_for(td_ceil_div(a.n_points, job.block_points) * td_ceil_div(a.n_free, job.block_free), gather_blocks,
                  &job);
  return TD_OK;
}

/* ---- scatter ---- */

typedef struct scatter_job {
  char *dst;
  const int64_t *dst_strides;
  const char *src;
  const int64_t *src_strides;
  int n_index;
  const td_index *index;
  int ndim;
  const int64_t *sizes;
  size_t elem_size;
  const td_mover *mover;
  int split;    /* the dim that is cut, or -1 */
  int64_t step; /* size of a cut */
} scatter_job;

/* True if iteration dim d alone decides which elements of dst are met, so that parts of it never meet: either its steps
   reach over all that the other dims and indices span, or those move by multiples of its whole extent. */
static bool separates(const scatter_job *s, int d) {
  int64_t stride = td_abs(s->dst_strides[d]), span = 0;
  if (stride == 0 || s->sizes[d] < 2) return false;
  bool multiples = true;
  for (int e = 0; e < s->ndim; ++e) {
    if (e == d || s->sizes[e] < 2) continue;
    span += td_abs(s->dst_strides[e]) * (s->sizes[e] - 1);
    multiples = multiples && s->dst_strides[e] % (stride * s->sizes[d]) == 0;
  }
  for (int j = 0; j < s->n_index; ++j) {
    span += td_abs(s->index[j].target_stride) * td_max(0, s->index[j].size - 1);
    multiples = multiples && s->index[j].target_stride % (stride * s->sizes[d]) == 0;
  }
  return multiples || stride > span;
}

/* The dim to cut for threads: the largest that separates. Cutting changes no result, so it may depend on the threads:
   every part looks at all indices, so there should not be many. */
static void choose_split(scatter_job *s, int64_t total) {
  int64_t bytes = total * (int64_t)s->elem_size, parts = td_min(2 * td_get_num_threads(), bytes / (TD_BLOCK_BYTES / 8));
  s->split = -1;
  if (parts < 2 || td_get_num_threads() == 1) return;
  for (int d = 0; d < s->ndim; ++d)
    if (separates(s, d) && (s->split < 0 || s->sizes[d] > s->sizes[s->split])) s->split = d;
  if (s->split < 0) return;
  s->step = td_ceil_div(s->sizes[s->split], parts);
  /* Parts that lie side by side keep to whole cache lines. */
  if (td_abs(s->dst_strides[s->split]) == (int64_t)s->elem_size)
    s->step = td_round_up(s->step, td_max(1, 64 / (int64_t)s->elem_size));
}

static void scatter_part(const scatter_job *s, int64_t first, int64_t size) {
  int64_t sizes[TD_MAX_DIMS];
  td_index index[TD_MAX_DIMS];
  char *dst = s->dst, *src = (char *)(uintptr_t)s->src;
  memcpy(sizes, s->sizes, (size_t)s->ndim * sizeof *sizes);
  memcpy(index, s->index, (size_t)s->n_index * sizeof *index);
  if (s->split >= 0) {
    sizes[s->split] = size;
    dst += first * s->dst_strides[s->split];
    src += first * s->src_strides[s->split];
    for (int j = 0; j < s->n_index; ++j) index[j].data += first * index[j].strides[s->split];
  }
  access a;
  if (plan(&a, src, s->src_strides, dst, s->dst_strides, s->n_index, index, s->ndim, sizes) != TD_OK) return;
  a.to_target = true;
  a.elem_size = s->elem_size;
  a.mover = s->mover;
  move(&a, 0, a.n_points, 0, a.n_free);
}

static void scatter_blocks(void *ctx, int64_t begin, int64_t end) {
  const scatter_job *s = ctx;
  for (int64_t part = begin; part < end; ++part)
    scatter_part(s, part * s->step, td_min(s->step, s->sizes[s->split] - part * s->step));
}

td_status td_scatter(char *dst, const int64_t *dst_strides, const char *src, const int64_t *src_strides, int n_index,
                     const td_index *index, int ndim, const int64_t *sizes, td_dtype dtype, int mode) {
  int64_t total = td_product(sizes, ndim);
  if (total == 0) return TD_OK;
  scatter_job s = {dst, dst_strides, src, src_strides, n_index, index, ndim, sizes, td_dtype_size(dtype), NULL, -1, 1};
  s.mover = mode == TD_SCATTER_SET ? td_mover_set(s.elem_size) : td_mover_combine(dtype, mode);
  if (!s.mover) return td_fail(TD_ERR_DTYPE, "scatter: mode %d is not defined for dtype code %d", mode, (int)dtype);
  access a;
  td_status status = plan(&a, (char *)(uintptr_t)src, src_strides, dst, dst_strides, n_index, index, ndim, sizes);
  if (status == TD_OK) status = check(&a);
  if (status != TD_OK) return status;
  choose_split(&s, total);
  if (s.split < 0)
    scatter_part(&s, 0, 0);
  else
    td_parallel_for(td_ceil_div(sizes[s.split], s.step), scatter_blocks, &s);
  return TD_OK;
}

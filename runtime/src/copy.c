/* Strided copies: rows by memcpy, transposes by blocks, everything else element by element. */
#include "elements.h"
#include "nest.h"

typedef struct copy_job {
  const td_nest *nest; /* operand 0: destination, 1: source */
  char *const *base;
  int64_t rows, n, block_rows, block_columns;
  size_t elem_size;
  enum { WHOLE_ROWS, TRANSPOSED, STRIDED } form;
} copy_job;

/* ---- transposes: source columns are contiguous along r, destination rows along i ---- */

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HAVE_SHUFFLE 1
#endif
#endif

#ifdef HAVE_SHUFFLE
/* An N x N block in registers: interleaving the first with the second half log2(N) times transposes. */
#define DEFINE_BLOCK(NAME, TYPE, N, STAGES, LOW, HIGH)                                                                 \
  typedef TYPE NAME##_vector __attribute__((vector_size(sizeof(TYPE) * (N))));                                         \
  static inline void NAME##_block(char *dst, int64_t dst_row, const char *src, int64_t src_column) {                   \
    NAME##_vector a[N], b[N];                                                                                          \
    for (int i = 0; i < (N); ++i) memcpy(&a[i], src + i * src_column, sizeof a[i]);                                    \
    for (int stage = 0; stage < (STAGES); ++stage) {                                                                   \
      for (int i = 0; i < (N) / 2; ++i) {                                                                              \
        b[2 * i] = __builtin_shufflevector(a[i], a[i + (N) / 2], LOW);                                                 \
        b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + (N) / 2], HIGH);                                            \
      }                                                                                                                \
      memcpy(a, b, sizeof a);                                                                                          \
    }                                                                                                                  \
    for (int r = 0; r < (N); ++r) memcpy(dst + r * dst_row, &a[r], sizeof a[r]);                                       \
  }
#define LIST(...) __VA_ARGS__
DEFINE_BLOCK(e1, uint8_t, 16, 4, LIST(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
             LIST(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))
DEFINE_BLOCK(e2, uint16_t, 8, 3, LIST(0, 8, 1, 9, 2, 10, 3, 11), LIST(4, 12, 5, 13, 6, 14, 7, 15))
DEFINE_BLOCK(e4, uint32_t, 4, 2, LIST(0, 4, 1, 5), LIST(2, 6, 3, 7))
DEFINE_BLOCK(e8, uint64_t, 2, 1, LIST(0, 2), LIST(1, 3))
#else
#define DEFINE_BLOCK(NAME, TYPE, N)                                                                                    \
  static inline void NAME##_block(char *dst, int64_t dst_row, const char *src, int64_t src_column) {                   \
    for (int r = 0; r < (N); ++r)                                                                                      \
      for (int i = 0; i < (N); ++i) ((TYPE *)(dst + r * dst_row))[i] = ((const TYPE *)(src + i * src_column))[r];      \
  }
DEFINE_BLOCK(e1, td_e1, 16)
DEFINE_BLOCK(e2, td_e2, 8)
DEFINE_BLOCK(e4, td_e4, 4)
DEFINE_BLOCK(e8, td_e8, 2)
#endif
static inline void e16_block(char *dst, int64_t dst_row, const char *src, int64_t src_column) {
  (void)dst_row, (void)src_column;
  *(td_e16 *)dst = *(const td_e16 *)src;
}

/* Tiles are two cache lines wide each way and are put together in a buffer: rows far apart in memory often fall on the
   same place of the cache, so the destination is written in whole lines. */
#define TILE_BYTES 128
#define DEFINE_TRANSPOSE(NAME, TYPE, N)                                                                                \
  static void transpose_##NAME(char *dst, int64_t dst_row, const char *src, int64_t src_column, int64_t rows,          \
                               int64_t n) {                                                                            \
    enum { SIZE = sizeof(TYPE), SIDE = TILE_BYTES / SIZE };                                                            \
    char tile[SIDE * TILE_BYTES];                                                                                      \
    for (int64_t r0 = 0; r0 < rows; r0 += SIDE)                                                                        \
      for (int64_t i0 = 0; i0 < n; i0 += SIDE) {                                                                       \
        int64_t rn = td_min(SIDE, rows - r0), in = td_min(SIDE, n - i0), rw = rn / (N) * (N), iw = in / (N) * (N);     \
        const char *from = src + i0 * src_column + r0 * SIZE;                                                          \
        for (int64_t i = 0; i < iw; i += (N))                                                                          \
          for (int64_t r = 0; r < rw; r += (N))                                                                        \
            NAME##_block(tile + r * TILE_BYTES + i * SIZE, TILE_BYTES, from + i * src_column + r * SIZE, src_column);  \
        for (int64_t r = 0; r < rn; ++r)                                                                               \
          for (int64_t i = r < rw ? iw : 0; i < in; ++i)                                                               \
            *(TYPE *)(tile + r * TILE_BYTES + i * SIZE) = *(const TYPE *)(from + i * src_column + r * SIZE);           \
        char *to = dst + r0 * dst_row + i0 * SIZE;                                                                     \
        if (in == SIDE)                                                                                                \
          for (int64_t r = 0; r < rn; ++r) memcpy(to + r * dst_row, tile + r * TILE_BYTES, TILE_BYTES);                \
        else                                                                                                           \
          for (int64_t r = 0; r < rn; ++r) memcpy(to + r * dst_row, tile + r * TILE_BYTES, (size_t)in * SIZE);         \
      }                                                                                                                \
  }                                                                                                                    \
  static void strided_##NAME(char *dst, int64_t dst_row, int64_t dst_step, const char *src, int64_t src_row,           \
                             int64_t src_step, int64_t rows, int64_t n) {                                              \
    for (int64_t r = 0; r < rows; ++r) {                                                                               \
      char *to = dst + r * dst_row;                                                                                    \
      const char *from = src + r * src_row;                                                                            \
      if (src_step == 0) {                                                                                             \
        const TYPE value = *(const TYPE *)from;                                                                        \
        if (dst_step == (int64_t)sizeof(TYPE))                                                                         \
          for (int64_t i = 0; i < n; ++i) ((TYPE *)to)[i] = value;                                                     \
        else                                                                                                           \
          for (int64_t i = 0; i < n; ++i) *(TYPE *)(to + i * dst_step) = value;                                        \
      } else {                                                                                                         \
        for (int64_t i = 0; i < n; ++i) *(TYPE *)(to + i * dst_step) = *(const TYPE *)(from + i * src_step);           \
      }                                                                                                                \
    }                                                                                                                  \
  }
DEFINE_TRANSPOSE(e1, td_e1, 16)
DEFINE_TRANSPOSE(e2, td_e2, 8)
DEFINE_TRANSPOSE(e4, td_e4, 4)
DEFINE_TRANSPOSE(e8, td_e8, 2)
DEFINE_TRANSPOSE(e16, td_e16, 1)

static void transpose(char *dst, int64_t dst_row, const char *src, int64_t src_column, int64_t rows, int64_t n,
                      size_t elem_size) {
  switch (elem_size) {
  case 1:
    transpose_e1(dst, dst_row, src, src_column, rows, n);
    break;
  case 2:
    transpose_e2(dst, dst_row, src, src_column, rows, n);
    break;
  case 4:
    transpose_e4(dst, dst_row, src, src_column, rows, n);
    break;
  case 8:
    transpose_e8(dst, dst_row, src, src_column, rows, n);
    break;
  default:
    transpose_e16(dst, dst_row, src, src_column, rows, n);
    break;
  }
}

static void strided(char *dst, int64_t dst_row, int64_t dst_step, const char *src, int64_t src_row, int64_t src_step,
                    int64_t rows, int64_t n, size_t elem_size) {
  switch (elem_size) {
  case 1:
    strided_e1(dst, dst_row, dst_step, src, src_row, src_step, rows, n);
    break;
  case 2:
    strided_e2(dst, dst_row, dst_step, src, src_row, src_step, rows, n);
    break;
  case 4:
    strided_e4(dst, dst_row, dst_step, src, src_row, src_step, rows, n);
    break;
  case 8:
    strided_e8(dst, dst_row, dst_step, src, src_row, src_step, rows, n);
    break;
  case 16:
    strided_e16(dst, dst_row, dst_step, src, src_row, src_step, rows, n);
    break;
  default:
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < n; ++i)
        memcpy(dst + r * dst_row + i * dst_step, src + r * src_row + i * src_step, elem_size);
  }
}

/* ---- the nest ---- */

/* Rows [first, first + count), columns [i0, i0 + n). */
static void copy_rows(const copy_job *job, int64_t first, int64_t count, int64_t i0, int64_t n) {
  const td_nest *t = job->nest;
  const int64_t *inner = t->stride[t->ndim - 1];
  const int64_t *outer = t->ndim > 1 ? t->stride[t->ndim - 2] : td_zero_strides;
  td_cursor c;
  td_cursor_start(&c, t, t->ndim - 1, job->base, first, count);
  for (int64_t span; c.left > 0; td_cursor_advance(&c, span)) {
    span = td_cursor_span(&c);
    char *dst = c.ptr[0] + i0 * inner[0];
    const char *src = c.ptr[1] + i0 * inner[1];
    if (job->form == WHOLE_ROWS)
      for (int64_t r = 0; r < span; ++r) memcpy(dst + r * outer[0], src + r * outer[1], (size_t)n * job->elem_size);
    else if (job->form == TRANSPOSED)
      transpose(dst, outer[0], src, inner[1], span, n, job->elem_size);
    else
      strided(dst, outer[0], inner[0], src, outer[1], inner[1], span, n, job->elem_size);
  }
}

static void copy_blocks(void *ctx, int64_t begin, int64_t end) {
  const copy_job *job = ctx;
  int64_t pieces = td_ceil_div(job->n, job->block_columns);
  for (int64_t block = begin; block < end; ++block) {
    int64_t row = block / pieces * job->block_rows, i0 = block % pieces * job->block_columns;
    copy_rows(job, row, td_min(job->block_rows, job->rows - row), i0, td_min(job->block_columns, job->n - i0));
  }
}

/* Chooses how to copy; a transpose gets the source's contiguous dim next to the innermost. */
static int choose_form(td_nest *t, size_t elem_size) {
  int64_t size = (int64_t)elem_size, *inner = t->stride[t->ndim - 1];
  if (inner[0] == size && inner[1] == size) return WHOLE_ROWS;
  bool movable = elem_size == 1 || elem_size == 2 || elem_size == 4 || elem_size == 8 || elem_size == 16;
  if (inner[0] != size || inner[1] == 0 || !movable) return STRIDED;
  for (int d = t->ndim - 2; d >= 0; --d)
    if (t->stride[d][1] == size) {
      for (; d < t->ndim - 2; ++d) td_nest_swap(t, d, d + 1);
      return TRANSPOSED;
    }
  return STRIDED;
}

td_status td_copy(char *dst, const int64_t *dst_strides, const char *src, const int64_t *src_strides, int ndim,
                  const int64_t *sizes, size_t elem_size) {
  int64_t total = td_product(sizes, ndim);
  if (total == 0 || elem_size == 0) return TD_OK;
  td_nest nest;
  const td_operand ops[2] = {{dst, dst_strides}, {(char *)(uintptr_t)src, src_strides}};
  char *const base[2] = {ops[0].data, ops[1].data};
  td_nest_begin(&nest, 2);
  td_nest_add(&nest, ops, sizes, 0, ndim);
  if (nest.ndim == 0) {
    memcpy(dst, src, elem_size);
    return TD_OK;
  }
  if (nest.ndim > 1) {
    td_nest_sort(&nest, 0);
    td_nest_coalesce(&nest);
  }
  copy_job job = {.nest = &nest, .base = base, .elem_size = elem_size, .form = choose_form(&nest, elem_size)};
  job.n = nest.size[nest.ndim - 1];
  job.rows = total / job.n;
  int64_t per_block = td_max(1, TD_BLOCK_BYTES / (int64_t)elem_size);
  if (total <= per_block) {
    copy_rows(&job, 0, job.rows, 0, job.n);
    return TD_OK;
  }
  job.block_columns = job.n;
  if (job.form == TRANSPOSED)
    job.block_columns = td_min(job.n, 1024);
  else if (job.n > per_block)
    job.block_columns = td_round_up(td_ceil_div(job.n, td_ceil_div(job.n, per_block)), 64);
  job.block_rows = td_max(1, per_block / job.block_columns);
  td_parallel_for(td_ceil_div(job.rows, job.block_rows) * td_ceil_div(job.n, job.block_columns), copy_blocks, &job);
  return TD_OK;
}

/* `whole` elements of dim 0 (all of the other dims) to consecutive places. */
static void copy_whole(char *dst, const char *src, int ndim, const int64_t *sizes, const int64_t *strides,
                       int64_t whole, int64_t columns, int64_t column_stride, size_t elem_size) {
  int64_t to[TD_MAX_DIMS + 1], from[TD_MAX_DIMS + 1], size[TD_MAX_DIMS + 1], packed = (int64_t)elem_size;
  size[ndim] = columns;
  from[ndim] = column_stride;
  for (int d = 0; d < ndim; ++d) {
    size[d] = d == 0 ? whole : sizes[d];
    from[d] = strides[d];
  }
  for (int d = ndim; d >= 0; --d) {
    to[d] = packed;
    packed *= size[d];
  }
  td_copy(dst, to, src, from, ndim + 1, size, elem_size);
}

void td_copy_range(char *dst, const char *src, int ndim, const int64_t *sizes, const int64_t *strides, int64_t first,
                   int64_t count, int64_t columns, int64_t column_stride, size_t elem_size) {
  if (count <= 0) return;
  const int64_t one = 1, zero = 0;
  if (ndim == 0) {
    ndim = 1;
    sizes = &one;
    strides = &zero;
  }
  int64_t inner = td_product(sizes + 1, ndim - 1), at = first / inner, skipped = first % inner;
  int64_t item = columns * (int64_t)elem_size;
  if (skipped) { /* the rest of one element of dim 0 */
    int64_t n = td_min(inner - skipped, count);
    td_copy_range(dst, src + at * strides[0], ndim - 1, sizes + 1, strides + 1, skipped, n, columns, column_stride,
                  elem_size);
    dst += n * item;
    count -= n;
    ++at;
  }
  int64_t whole = count / inner;
  if (whole) {
    copy_whole(dst, src + at * strides[0], ndim, sizes, strides, whole, columns, column_stride, elem_size);
    dst += whole * inner * item;
    count -= whole * inner;
    at += whole;
  }
  if (count)
    td_copy_range(dst, src + at * strides[0], ndim - 1, sizes + 1, strides + 1, 0, count, columns, column_stride,
                  elem_size);
}

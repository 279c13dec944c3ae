/* Stable sorting of rows. Every element becomes an unsigned key whose order is the wanted one (NaN above all, -0 equal
   to 0, inverted for descending), paired with its position. Long rows go through a radix sort, short ones through
   insertion, and a few largest or smallest through a heap; all give the order of a stable sort. */
#include "elements.h"
#include "nest.h"

typedef struct item {
  uint64_t key;
  int64_t at;
} item;

typedef struct sort_job {
  const char *src;
  int64_t stride, n, k, rows, block_rows;
  const td_nest *outer;
  char *base[1];
  td_dtype dtype;
  size_t elem_size;
  bool descending;
  char *values;
  int64_t *indices;
  atomic_int failed;
} sort_job;

/* Bits of an IEEE number of `width` bits, whose infinity is `infinity`, to a key. */
static inline uint64_t float_key(uint64_t bits, int width, uint64_t infinity) {
  uint64_t sign = UINT64_C(1) << (width - 1), magnitude = bits & (sign - 1);
  if (magnitude > infinity) return sign | (sign - 1); /* NaN */
  if (magnitude == 0) return sign;
  return bits & sign ? sign - magnitude : sign | magnitude;
}

#define KEYS(TYPE, KEY)                                                                                                \
  for (int64_t i = 0; i < n; ++i) {                                                                                    \
    uint64_t x = *(const TYPE *)(src + i * stride);                                                                    \
    items[i] = (item){(KEY) ^ flip, i};                                                                                \
  }
/* Keys of one row. Only the low bits that the type needs are set. */
static void make_keys(item *items, const char *src, int64_t stride, int64_t n, td_dtype dtype, uint64_t flip) {
  switch (dtype) {
  case TD_I8:
    KEYS(td_e1, x ^ 0x80u) break;
  case TD_I16:
    KEYS(td_e2, x ^ 0x8000u) break;
  case TD_I32:
    KEYS(td_e4, x ^ 0x80000000u) break;
  case TD_I64:
    KEYS(td_e8, x ^ (UINT64_C(1) << 63)) break;
  case TD_F16:
    KEYS(td_e2, float_key(x, 16, 0x7c00)) break;
  case TD_BF16:
    KEYS(td_e2, float_key(x, 16, 0x7f80)) break;
  case TD_F32:
    KEYS(td_e4, float_key(x, 32, 0x7f800000)) break;
  case TD_F64:
    KEYS(td_e8, float_key(x, 64, UINT64_C(0x7ff0000000000000))) break;
  default:
    KEYS(td_e1, x) break;
  }
}

static inline bool before(item a, item b) { return a.key != b.key ? a.key < b.key : a.at < b.at; }

static void insertion_sort(item *items, int64_t n) {
  for (int64_t i = 1; i < n; ++i) {
    item x = items[i];
    int64_t j = i;
    for (; j > 0 && x.key < items[j - 1].key; --j) items[j] = items[j - 1];
    items[j] = x;
  }
}

/* Sorts by one byte after the other from the lowest; returns which of the two buffers holds the result. */
static item *radix_sort(item *items, item *other, int64_t n, size_t key_bytes) {
  int64_t count[8][256];
  memset(count, 0, key_bytes * sizeof count[0]);
  for (int64_t i = 0; i < n; ++i)
    for (size_t b = 0; b < key_bytes; ++b) ++count[b][items[i].key >> (8 * b) & 255];
  for (size_t b = 0; b < key_bytes; ++b) {
    if (count[b][items[0].key >> (8 * b) & 255] == n) continue; /* all alike in this byte */
    int64_t place = 0;
    for (int v = 0; v < 256; ++v) {
      int64_t here = count[b][v];
      count[b][v] = place;
      place += here;
    }
    for (int64_t i = 0; i < n; ++i) other[count[b][items[i].key >> (8 * b) & 255]++] = items[i];
    item *t = items;
    items = other;
    other = t;
  }
  return items;
}

static void sift_down(item *heap, int64_t size, int64_t i) {
  item x = heap[i];
  for (int64_t child; (child = 2 * i + 1) < size; i = child) {
    if (child + 1 < size && before(heap[child], heap[child + 1])) ++child;
    if (!before(x, heap[child])) break;
    heap[i] = heap[child];
  }
  heap[i] = x;
}

/* The k first of n items, in order, at the start of the array. The heap's root is the last of those kept so far. */
static void select_first(item *items, int64_t n, int64_t k) {
  for (int64_t i = k / 2 - 1; i >= 0; --i) sift_down(items, k, i);
  for (int64_t i = k; i < n; ++i)
    if (before(items[i], items[0])) {
      items[0] = items[i];
      sift_down(items, k, 0);
    }
  for (int64_t size = k - 1; size > 0; --size) {
    item last = items[0];
    items[0] = items[size];
    items[size] = last;
    sift_down(items, size, 0);
  }
}

static void sort_row(const sort_job *job, const char *src, item *items, char *values, int64_t *indices) {
  size_t size = job->elem_size;
  uint64_t flip = job->descending ? UINT64_MAX >> (64 - 8 * size) : 0;
  make_keys(items, src, job->stride, job->n, job->dtype, flip);
  if (job->k < job->n && job->k <= td_max(16, job->n / 16))
    select_first(items, job->n, job->k);
  else if (job->n <= 48)
    insertion_sort(items, job->n);
  else
    items = radix_sort(items, items + job->n, job->n, size);
  for (int64_t i = 0; i < job->k; ++i) {
    indices[i] = items[i].at;
    memcpy(values + i * (int64_t)size, src + items[i].at * job->stride, size);
  }
}

static void sort_blocks(void *ctx, int64_t begin, int64_t end) {
  sort_job *job = ctx;
  item *items = td_alloc(2 * (size_t)job->n * sizeof *items);
  if (!items) {
    atomic_store(&job->failed, 1);
    return;
  }
  int64_t row = begin * job->block_rows;
  td_cursor c;
  td_cursor_start(&c, job->outer, job->outer->ndim, job->base, row, td_min(end * job->block_rows, job->rows) - row);
  for (; c.left > 0; td_cursor_advance(&c, 1), ++row)
    sort_row(job, c.ptr[0], items, job->values + row * job->k * (int64_t)job->elem_size, job->indices + row * job->k);
  td_free(items);
}

td_status td_sort(const char *src, const int64_t *src_strides, int ndim, const int64_t *sizes, td_dtype dtype,
                  int descending, int64_t k, char *values, int64_t *indices) {
  if (dtype == TD_C64 || dtype == TD_C128 || td_dtype_size(dtype) == 0)
    return td_fail(TD_ERR_DTYPE, "sort: elements must be real numbers, got dtype code %d", (int)dtype);
  sort_job job = {.dtype = dtype, .elem_size = td_dtype_size(dtype), .descending = descending != 0};
  job.n = ndim > 0 ? sizes[ndim - 1] : 1;
  job.stride = ndim > 0 ? src_strides[ndim - 1] : 0;
  if (k > job.n)
    return td_fail(TD_ERR_VALUE, "topk: k must be at most the size %lld, got %lld", (long long)job.n, (long long)k);
  job.k = k > 0 ? k : job.n;
  job.rows = ndim > 0 ? td_product(sizes, ndim - 1) : 1;
  if (job.rows == 0 || job.n == 0) return TD_OK;
  td_operand operand = {(char *)(uintptr_t)src, src_strides};
  td_nest outer;
  td_nest_begin(&outer, 1);
  td_nest_add(&outer, &operand, sizes, 0, ndim - 1);
  td_nest_coalesce(&outer);
  job.outer = &outer;
  job.base[0] = operand.data;
  job.values = values;
  job.indices = indices;
  job.block_rows = td_max(1, 4096 / job.n);
  td_parallel_for(td_ceil_div(job.rows, job.block_rows), sort_blocks, &job);
  return td_job_status(job.failed, "sort");
}

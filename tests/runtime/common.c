#include "check.h"

static uint64_t state = 0x9e3779b97f4a7c15u;

uint32_t random_bits(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) ^ (uint32_t)(state >> 11);
}
int64_t random_below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }
float random_float(void) { return (float)(random_bits() >> 8) * 0x1p-23f - 1.0f; }

array make_array(size_t elem_size, int ndim, const int64_t *sizes, const int *order) {
  array a = {.ndim = ndim, .elem_size = elem_size};
  int64_t stride = (int64_t)elem_size;
  for (int d = ndim - 1; d >= 0; --d) {
    int dim = order ? order[d] : d;
    a.sizes[dim] = sizes[dim];
    a.strides[dim] = stride;
    stride *= sizes[dim];
  }
  a.data = malloc(stride ? (size_t)stride : 1); /* malloc: the sanitizer sees every overrun */
  CHECK(a.data);
  memset(a.data, 0, (size_t)stride);
  return a;
}
void drop_array(array *a) { free(a->data); }

int64_t numel(const array *a) {
  int64_t n = 1;
  for (int d = 0; d < a->ndim; ++d) n *= a->sizes[d];
  return n;
}

char *element(const array *a, int64_t i) {
  char *p = a->data;
  for (int d = a->ndim - 1; d >= 0; --d) {
    p += i % a->sizes[d] * a->strides[d];
    i /= a->sizes[d];
  }
  return p;
}

void fill_floats(array *a) {
  for (int64_t i = 0; i < numel(a); ++i) *(float *)element(a, i) = random_float();
}

void random_order(int *order, int ndim) {
  for (int i = 0; i < ndim; ++i) {
    int j = (int)random_below(i + 1);
    order[i] = order[j];
    order[j] = i;
  }
}

/* ---- kernels ---- */

static void add_fn(char *const *ptr, const int64_t *es, const int64_t *rs, int64_t n, int64_t rows, int64_t index,
                   void *scratch) {
  (void)index, (void)scratch;
  for (int64_t r = 0; r < rows; ++r) {
    char *o = ptr[0] + r * rs[0], *a = ptr[1] + r * rs[1], *b = ptr[2] + r * rs[2];
    if (es[0] == 4 && es[1] == 4 && es[2] == 4)
      for (int64_t i = 0; i < n; ++i) ((float *)o)[i] = ((float *)a)[i] + ((float *)b)[i];
    else
      for (int64_t i = 0; i < n; ++i) *(float *)(o + i * es[0]) = *(float *)(a + i * es[1]) + *(float *)(b + i * es[2]);
  }
}
const td_kernel add_f32 = {.fn = (void *)add_fn, .n_out = 1, .n_in = 2, .cost = 48};

static void index_fn(char *const *ptr, const int64_t *es, const int64_t *rs, int64_t n, int64_t rows, int64_t index,
                     void *scratch) {
  (void)scratch;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) *(int64_t *)(ptr[0] + r * rs[0] + i * es[0]) = index + r * n + i;
}
const td_kernel index_i64 = {.fn = (void *)index_fn, .flags = TD_K_INDEX, .n_out = 1, .cost = 16};

static void sum_partial(char *const *ptr, const int64_t *es, int64_t n, int64_t i0, char *out) {
  float lane[TD_LANES] = {0};
  CHECK(n <= TD_ROW_BLOCK && i0 % TD_ROW_BLOCK == 0);
  for (int64_t i = 0; i < n; ++i) lane[i % TD_LANES] += *(float *)(ptr[1] + (i0 + i) * es[1]);
  for (int half = TD_LANES / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  memcpy(out, lane, sizeof(float));
}
static void sum_finish(char *const *out, const int64_t *out_stride, const char *states, int64_t state_stride,
                       int64_t count, int64_t n) {
  CHECK(count >= 1);
  for (int64_t c = 0; c < n; ++c) {
    float total = 0;
    for (int64_t b = 0; b < count; ++b) total += *(const float *)(states + b * state_stride + c * 4);
    *(float *)(out[0] + c * out_stride[0]) = total;
  }
}
static void sum_fn(char *const *ptr, const int64_t *es, const int64_t *rs, int64_t n, int64_t rows, int64_t index,
                   void *scratch) {
  (void)index, (void)scratch;
  for (int64_t r = 0; r < rows; ++r) {
    char *const row[2] = {ptr[0] + r * rs[0], ptr[1] + r * rs[1]};
    float total = 0, part;
    for (int64_t i0 = 0; i0 < n; i0 += TD_ROW_BLOCK) {
      sum_partial(row, es, n - i0 < TD_ROW_BLOCK ? n - i0 : TD_ROW_BLOCK, i0, (char *)&part);
      total += part;
    }
    *(float *)row[0] = total;
  }
}
const td_kernel sum_rows = {.fn = (void *)sum_fn,
                            .partial = (void *)sum_partial,
                            .finish = (void *)sum_finish,
                            .flags = TD_K_REDUCES,
                            .n_out = 1,
                            .n_in = 1,
                            .state_size = 4,
                            .cost = 32};

static void center_fn(char *const *ptr, const int64_t *es, const int64_t *rs, int64_t n, int64_t rows, int64_t index,
                      void *scratch) {
  (void)index;
  float *kept = scratch;
  CHECK(((uintptr_t)scratch & 63) == 0);
  for (int64_t r = 0; r < rows; ++r) {
    float total = 0;
    for (int64_t i = 0; i < n; ++i) total += kept[i] = *(float *)(ptr[1] + r * rs[1] + i * es[1]);
    for (int64_t i = 0; i < n; ++i) *(float *)(ptr[0] + r * rs[0] + i * es[0]) = kept[i] - total;
  }
}
const td_kernel center_rows = {
    .fn = (void *)center_fn, .flags = TD_K_REDUCES, .n_out = 1, .n_in = 1, .scratch_per_elem = 4, .cost = 64};

static void cols_fn(char *const *ptr, const int64_t *es, const int64_t *down, int64_t n, int64_t rows, int64_t r0,
                    char *out) {
  CHECK(rows <= TD_COL_BLOCK && r0 % TD_COL_BLOCK == 0 && ((uintptr_t)out & 63) == 0);
  float *total = (float *)out;
  for (int64_t c = 0; c < n; ++c) {
    float t = 0;
    for (int64_t r = 0; r < rows; ++r) t += *(float *)(ptr[1] + c * es[1] + r * down[1]);
    total[c] = t;
  }
}
const td_kernel sum_cols = {.fn = (void *)cols_fn,
                            .finish = (void *)sum_finish,
                            .flags = TD_K_REDUCES,
                            .n_out = 1,
                            .n_in = 1,
                            .state_size = 4,
                            .cost = 32};

typedef struct best {
  int64_t at;
  float value;
  int32_t unused;
} best;
static void argmax_fn(char *const *ptr, const int64_t *es, const int64_t *down, int64_t n, int64_t rows, int64_t r0,
                      char *out) {
  best *b = (best *)out;
  for (int64_t c = 0; c < n; ++c) {
    b[c] = (best){.at = -1};
    for (int64_t r = 0; r < rows; ++r) {
      float x = *(float *)(ptr[1] + c * es[1] + r * down[1]);
      if (b[c].at < 0 || x > b[c].value) b[c] = (best){.at = r0 + r, .value = x};
    }
  }
}
static void argmax_finish(char *const *out, const int64_t *out_stride, const char *states, int64_t state_stride,
                          int64_t count, int64_t n) {
  for (int64_t c = 0; c < n; ++c) {
    best top = ((const best *)states)[c];
    for (int64_t k = 1; k < count; ++k) {
      best b = ((const best *)(states + k * state_stride))[c];
      if (b.value > top.value) top = b;
    }
    *(int64_t *)(out[0] + c * out_stride[0]) = top.at;
  }
}
const td_kernel first_max_cols = {.fn = (void *)argmax_fn,
                                  .finish = (void *)argmax_finish,
                                  .flags = TD_K_REDUCES,
                                  .n_out = 1,
                                  .n_in = 1,
                                  .state_size = sizeof(best),
                                  .cost = 32};

static void cumsum_fn(char *const *ptr, const int64_t *es, const int64_t *rs, int64_t n, int64_t rows, int64_t index,
                      void *scratch) {
  (void)index, (void)scratch;
  for (int64_t r = 0; r < rows; ++r) {
    float t = 0;
    for (int64_t i = 0; i < n; ++i)
      *(float *)(ptr[0] + r * rs[0] + i * es[0]) = t += *(float *)(ptr[1] + r * rs[1] + i * es[1]);
  }
}
const td_kernel cumsum = {.fn = (void *)cumsum_fn, .flags = TD_K_REDUCES, .n_out = 1, .n_in = 1, .cost = 32};

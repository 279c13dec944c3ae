#include <math.h>

#include "../../runtime/src/half.h"
#include "check.h"

/* One indexed access: `ndim` iteration dims, the indexed tensor has the dims of `base` strides and indexed dims. */
typedef struct problem {
  int ndim, n_index;
  int64_t sizes[4];
  array indices[2];
  td_index index[2];
  array target; /* the indexed tensor */
  int64_t base[4];
} problem;

/* Like x[:, i, j, :]: iteration dims that an index covers, and dims that are free. `full`: like gather/scatter along a
 * dim. */
static problem make_problem(size_t elem_size, bool full) {
  problem p = {.ndim = 1 + (int)random_below(4)};
  p.n_index = full ? 1 : 1 + (int)random_below(2);
  bool free_dim[4];
  int covered = 0;
  for (int d = 0; d < p.ndim; ++d) {
    p.sizes[d] = 1 + random_below(d == p.ndim - 1 ? 60 : 9);
    free_dim[d] = !full && random_below(2);
    covered += !free_dim[d];
  }
  if (covered == 0) free_dim[0] = false;
  int64_t target_sizes[8];
  int owner[8], n = 0, order[8];
  int dim = (int)random_below(p.ndim);
  for (int d = 0; d < p.ndim; ++d)
    if (free_dim[d] || (full && d != dim)) target_sizes[n] = p.sizes[d] + (full ? random_below(3) : 0), owner[n++] = d;
  for (int j = 0; j < p.n_index; ++j) target_sizes[n] = 1 + random_below(12), owner[n++] = -1 - j;
  random_order(order, n);
  p.target = make_array(elem_size, n, target_sizes, order);
  for (int k = 0; k < n; ++k) {
    if (owner[k] >= 0) {
      p.base[owner[k]] = p.target.strides[k];
      continue;
    }
    int j = -1 - owner[k];
    td_dtype dtype = random_below(2) ? TD_I64 : TD_I32;
    p.indices[j] = make_array(td_dtype_size(dtype), p.ndim, p.sizes, NULL);
    for (int64_t i = 0; i < numel(&p.indices[j]); ++i) {
      int64_t v = random_below(2 * target_sizes[k]) - target_sizes[k];
      if (dtype == TD_I64)
        *(int64_t *)element(&p.indices[j], i) = v;
      else
        *(int32_t *)element(&p.indices[j], i) = (int32_t)v;
    }
    for (int d = 0; d < p.ndim; ++d)
      if (free_dim[d]) p.indices[j].strides[d] = 0;
    p.index[j] = (td_index){p.indices[j].data, NULL, target_sizes[k], p.target.strides[k], k, dtype};
  }
  return p;
}

static void link_strides(problem *p) {
  for (int j = 0; j < p->n_index; ++j) p->index[j].strides = p->indices[j].strides;
}

static char *target_of(const problem *p, int64_t i) {
  char *at = p->target.data;
  int64_t rest = i;
  for (int d = p->ndim - 1; d >= 0; --d) {
    at += rest % p->sizes[d] * p->base[d];
    rest /= p->sizes[d];
  }
  for (int j = 0; j < p->n_index; ++j) {
    char *x = element(&p->indices[j], i);
    int64_t v = p->index[j].dtype == TD_I64 ? *(int64_t *)x : *(int32_t *)x;
    at += (v < 0 ? v + p->index[j].size : v) * p->index[j].target_stride;
  }
  return at;
}

static void drop_problem(problem *p) {
  for (int j = 0; j < p->n_index; ++j) drop_array(&p->indices[j]);
  drop_array(&p->target);
}

static void fill_bytes(array *a) {
  for (int64_t i = 0; i < numel(a) * (int64_t)a->elem_size; ++i) a->data[i] = (char)random_bits();
}

void test_gather(void) {
  static const size_t elem_sizes[] = {1, 2, 4, 8, 16};
  for (int round = 0; round < 300; ++round) {
    td_set_num_threads(1 + round % 3);
    problem p = make_problem(elem_sizes[round % 5], round % 2);
    link_strides(&p);
    fill_bytes(&p.target);
    int order[8];
    random_order(order, p.ndim);
    array out = make_array(p.target.elem_size, p.ndim, p.sizes, round % 3 ? order : NULL);
    CHECK(td_gather(out.data, out.strides, p.target.data, p.base, p.n_index, p.index, p.ndim, p.sizes, out.elem_size) ==
          TD_OK);
    for (int64_t i = 0; i < numel(&out); ++i) CHECK(!memcmp(element(&out, i), target_of(&p, i), out.elem_size));
    drop_array(&out);
    drop_problem(&p);
  }
}

/* What the mode makes of two numbers; whole numbers wrap. */
#define COMBINE(TYPE, SUMS)                                                                                            \
  do {                                                                                                                 \
    TYPE a = *(TYPE *)to, b = *(const TYPE *)from;                                                                     \
    *(TYPE *)to = mode == TD_SCATTER_ADD   ? (TYPE)((SUMS)a + (SUMS)b)                                                 \
                  : mode == TD_SCATTER_MUL ? (TYPE)((SUMS)a * (SUMS)b)                                                 \
                  : mode == TD_SCATTER_MAX ? (a > b ? a : b)                                                           \
                                           : (a < b ? a : b);                                                          \
  } while (0)

static float combine_floats(float x, float y, int mode) {
  char *to = (char *)&x;
  const char *from = (const char *)&y;
  COMBINE(float, float);
  return x;
}

static void combine_complex(double *re, double *im, double c, double d, int mode) {
  double a = *re, b = *im;
  *re = mode == TD_SCATTER_ADD ? a + c : a * c - b * d;
  *im = mode == TD_SCATTER_ADD ? b + d : a * d + b * c;
}

static void combine_one(char *to, const char *from, td_dtype dtype, int mode) {
  switch (dtype) {
  case TD_BOOL:
    *to = (char)(mode == TD_SCATTER_ADD || mode == TD_SCATTER_MAX ? *to | *from : *to & *from);
    break;
  case TD_U8:
    COMBINE(uint8_t, uint64_t);
    break;
  case TD_I8:
    COMBINE(int8_t, uint64_t);
    break;
  case TD_I16:
    COMBINE(int16_t, uint64_t);
    break;
  case TD_I32:
    COMBINE(int32_t, uint64_t);
    break;
  case TD_I64:
    COMBINE(int64_t, uint64_t);
    break;
  case TD_F16:
    *(uint16_t *)to =
        td_f32_to_f16(combine_floats(td_f16_to_f32(*(uint16_t *)to), td_f16_to_f32(*(const uint16_t *)from), mode));
    break;
  case TD_BF16:
    *(uint16_t *)to =
        td_f32_to_bf16(combine_floats(td_bf16_to_f32(*(uint16_t *)to), td_bf16_to_f32(*(const uint16_t *)from), mode));
    break;
  case TD_F32:
    COMBINE(float, float);
    break;
  case TD_F64:
    COMBINE(double, double);
    break;
  case TD_C64: {
    float *t = (float *)to, a = t[0], b = t[1], c = ((const float *)from)[0], d = ((const float *)from)[1];
    t[0] = mode == TD_SCATTER_ADD ? a + c : a * c - b * d;
    t[1] = mode == TD_SCATTER_ADD ? b + d : a * d + b * c;
    break;
  }
  default:
    combine_complex((double *)to, (double *)to + 1, ((const double *)from)[0], ((const double *)from)[1], mode);
    break;
  }
}

static void fill_values(array *a, td_dtype dtype) {
  for (int64_t i = 0; i < numel(a); ++i) {
    char *p = element(a, i);
    switch (dtype) {
    case TD_BOOL:
      *p = (char)random_below(2);
      break;
    case TD_F16:
      *(uint16_t *)p = td_f32_to_f16(random_float());
      break;
    case TD_BF16:
      *(uint16_t *)p = td_f32_to_bf16(random_float());
      break;
    case TD_C64:
      ((float *)p)[1] = random_float(); /* fall through */
    case TD_F32:
      *(float *)p = random_float();
      break;
    case TD_C128:
      ((double *)p)[1] = random_float(); /* fall through */
    case TD_F64:
      *(double *)p = random_float();
      break;
    default:
      for (size_t b = 0; b < a->elem_size; ++b) p[b] = (char)random_bits();
    }
  }
}

static void scatter_once(problem *p, td_dtype dtype, int mode, bool reorder) {
  link_strides(p);
  int order[8];
  random_order(order, p->ndim);
  array src = make_array(p->target.elem_size, p->ndim, p->sizes, reorder ? order : NULL);
  fill_values(&src, dtype);
  fill_values(&p->target, dtype);
  size_t bytes = (size_t)numel(&p->target) * p->target.elem_size;
  char *start = malloc(bytes), *want = malloc(bytes);
  memcpy(start, p->target.data, bytes);
  for (int64_t i = 0; i < numel(&src); ++i) {
    if (mode == TD_SCATTER_SET)
      memcpy(target_of(p, i), element(&src, i), src.elem_size);
    else
      combine_one(target_of(p, i), element(&src, i), dtype, mode);
  }
  memcpy(want, p->target.data, bytes);
  for (int threads = 1; threads <= 3; threads += 2) {
    td_set_num_threads(threads);
    memcpy(p->target.data, start, bytes);
    CHECK(td_scatter(p->target.data, p->base, src.data, src.strides, p->n_index, p->index, p->ndim, p->sizes, dtype,
                     mode) == TD_OK);
    CHECK(!memcmp(want, p->target.data, bytes));
  }
  free(start);
  free(want);
  drop_array(&src);
  drop_problem(p);
}

void test_scatter(void) {
  for (int round = 0; round < 720; ++round) {
    td_dtype dtype = (td_dtype)(round % TD_NUM_DTYPES);
    int mode = round / TD_NUM_DTYPES % 5;
    if (dtype >= TD_C64 && mode > TD_SCATTER_MUL) continue; /* complex numbers have no order */
    problem p = make_problem(td_dtype_size(dtype), random_below(2));
    scatter_once(&p, dtype, mode, round % 3 == 0);
  }
}

/* Large enough to be cut for threads: embedding rows, and whole-tensor scatters along each dim. */
void test_scatter_parts(void) {
  for (int round = 0; round < 12; ++round) {
    int64_t sizes[2] = {700, 160}, table[2] = {50, 160};
    int dim = round % 3;
    problem p = {.ndim = 2, .n_index = 1, .sizes = {700, 160}};
    if (dim == 1) table[0] = 700, table[1] = 33;
    p.target = make_array(4, 2, table, NULL);
    p.indices[0] = make_array(8, 2, sizes, NULL);
    int indexed = dim == 1;
    for (int64_t i = 0; i < numel(&p.indices[0]); ++i)
      *(int64_t *)element(&p.indices[0], i) = random_below(table[indexed]);
    if (dim == 2) p.indices[0].strides[1] = 0; /* rows */
    p.base[!indexed] = p.target.strides[!indexed];
    p.index[0] = (td_index){p.indices[0].data, NULL, table[indexed], p.target.strides[indexed], indexed, TD_I64};
    scatter_once(&p, TD_F32, round % 2, round % 4 > 1);
  }
}

void test_index_errors(void) {
  int64_t sizes[2] = {3, 4}, out_strides[2] = {16, 4}, src_strides[2] = {0, 4}, index_strides[2] = {8, 0};
  int64_t at[3] = {0, -5, 4};
  float table[5][4] = {{0}}, out[3][4];
  memset(out, 1, sizeof out);
  td_index index = {(char *)at, index_strides, 5, 16, 0, TD_I64};
  CHECK(td_gather((char *)out, out_strides, (char *)table, src_strides, 1, &index, 2, sizes, 4) == TD_OK);
  static const int64_t bad[] = {5, -6, INT64_MIN, INT64_MAX};
  for (int i = 0; i < COUNT(bad); ++i) {
    at[2] = bad[i];
    memset(out, 1, sizeof out);
    CHECK(td_gather((char *)out, out_strides, (char *)table, src_strides, 1, &index, 2, sizes, 4) == TD_ERR_INDEX);
    char want[100];
    snprintf(want, sizeof want, "index %lld is out of bounds for dimension 0 with size 5", (long long)bad[i]);
    CHECK(!strcmp(td_last_error(), want));
    for (size_t b = 0; b < sizeof out; ++b) CHECK(((char *)out)[b] == 1);
    CHECK(td_scatter((char *)table, src_strides, (char *)out, out_strides, 1, &index, 2, sizes, TD_F32,
                     TD_SCATTER_ADD) == TD_ERR_INDEX);
    for (int k = 0; k < 20; ++k) CHECK((&table[0][0])[k] == 0);
  }
  index.size = 0;
  CHECK(td_gather((char *)out, out_strides, (char *)table, src_strides, 1, &index, 2, sizes, 4) == TD_ERR_INDEX);
  index.dtype = TD_F32;
  CHECK(td_gather((char *)out, out_strides, (char *)table, src_strides, 1, &index, 2, sizes, 4) == TD_ERR_DTYPE);
  CHECK(td_scatter((char *)table, src_strides, (char *)out, out_strides, 1, &index, 2, sizes, (td_dtype)77, 0) ==
        TD_ERR_DTYPE);
  int64_t none[2] = {0, 4};
  CHECK(td_gather((char *)out, out_strides, (char *)table, src_strides, 1, &index, 2, none, 4) == TD_OK);
}

void test_nonzero(void) {
  for (int round = 0; round < 100; ++round) {
    int ndim = (int)random_below(5), order[8];
    int64_t sizes[8];
    for (int d = 0; d < ndim; ++d) sizes[d] = random_below(round % 9 == 0 ? 3 : 9) + (round % 9 != 0);
    random_order(order, ndim);
    array x = make_array(1, ndim, sizes, order);
    int64_t want = 0;
    for (int64_t i = 0; i < numel(&x); ++i) want += *element(&x, i) = (char)(random_below(3) == 0);
    CHECK(td_nonzero_count(x.data, x.strides, ndim, sizes) == want);
    int64_t *out = malloc((size_t)(want * ndim + 1) * 8), k = 0;
    td_nonzero_fill(x.data, x.strides, ndim, sizes, out);
    for (int64_t i = 0; i < numel(&x); ++i) {
      if (!*element(&x, i)) continue;
      int64_t rest = i;
      for (int d = ndim - 1; d >= 0; --d) {
        CHECK(out[k * ndim + d] == rest % sizes[d]);
        rest /= sizes[d];
      }
      ++k;
    }
    free(out);
    drop_array(&x);
  }
}

/* ---- sort ---- */

static double as_number(const char *p, td_dtype dtype) {
  switch (dtype) {
  case TD_I8:
    return *(const int8_t *)p;
  case TD_I16:
    return *(const int16_t *)p;
  case TD_I32:
    return *(const int32_t *)p;
  case TD_I64:
    return (double)*(const int64_t *)p;
  case TD_F16:
    return td_f16_to_f32(*(const uint16_t *)p);
  case TD_BF16:
    return td_bf16_to_f32(*(const uint16_t *)p);
  case TD_F32:
    return *(const float *)p;
  case TD_F64:
    return *(const double *)p;
  default:
    return *(const uint8_t *)p;
  }
}

/* True if a must not come after b in a stable sort. */
static bool in_order(double a, int64_t at_a, double b, int64_t at_b, bool descending) {
  bool equal = a == b || (isnan(a) && isnan(b));
  if (equal) return at_a < at_b;
  bool less = isnan(a) ? false : isnan(b) ? true : a < b;
  return descending ? !less : less;
}

static void put_number(char *p, td_dtype dtype, int kind) {
  float specials[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f};
  float x = kind == 0 ? specials[random_below(5)] : kind == 1 ? (float)random_below(5) - 2 : random_float() * 100;
  switch (dtype) {
  case TD_F16:
    *(uint16_t *)p = td_f32_to_f16(x);
    break;
  case TD_BF16:
    *(uint16_t *)p = td_f32_to_bf16(x);
    break;
  case TD_F32:
    *(float *)p = x;
    break;
  case TD_F64:
    *(double *)p = x;
    break;
  case TD_BOOL:
    *p = (char)random_below(2);
    break;
  case TD_I64:
    *(int64_t *)p = kind == 1 ? random_below(5) - 2 : ((int64_t)random_bits() << 18) - (INT64_C(1) << 49);
    break;
  default:
    for (size_t b = 0; b < td_dtype_size(dtype); ++b) p[b] = (char)(kind == 1 && b ? 0 : random_bits());
  }
}

void test_sort(void) {
  for (int round = 0; round < 400; ++round) {
    td_dtype dtype = (td_dtype)(round % 10);
    bool descending = round / 10 % 2;
    td_set_num_threads(1 + round % 3);
    int ndim = 1 + (int)random_below(3), order[8];
    int64_t sizes[3];
    for (int d = 0; d < ndim; ++d) sizes[d] = 1 + random_below(d == ndim - 1 ? (round % 4 ? 70 : 900) : 5);
    random_order(order, ndim);
    array x = make_array(td_dtype_size(dtype), ndim, sizes, order);
    int64_t n = sizes[ndim - 1], rows = numel(&x) / n, k = round % 3 ? 0 : 1 + random_below(n), width = k ? k : n;
    for (int64_t i = 0; i < numel(&x); ++i) put_number(element(&x, i), dtype, (int)random_below(3));
    char *values = malloc((size_t)(rows * width) * x.elem_size);
    int64_t *indices = malloc((size_t)(rows * width) * 8);
    CHECK(td_sort(x.data, x.strides, ndim, sizes, dtype, descending, k, values, indices) == TD_OK);
    for (int64_t r = 0; r < rows; ++r) {
      char *seen = calloc((size_t)n, 1);
      int64_t *at = indices + r * width;
      for (int64_t i = 0; i < width; ++i) {
        CHECK(at[i] >= 0 && at[i] < n && !seen[at[i]]);
        seen[at[i]] = 1;
        CHECK(!memcmp(values + (r * width + i) * (int64_t)x.elem_size, element(&x, r * n + at[i]), x.elem_size));
        if (i)
          CHECK(in_order(as_number(element(&x, r * n + at[i - 1]), dtype), at[i - 1],
                         as_number(element(&x, r * n + at[i]), dtype), at[i], descending));
      }
      int64_t last = at[width - 1];
      for (int64_t i = 0; i < n; ++i)
        if (!seen[i])
          CHECK(in_order(as_number(element(&x, r * n + last), dtype), last, as_number(element(&x, r * n + i), dtype), i,
                         descending));
      free(seen);
    }
    free(values);
    free(indices);
    drop_array(&x);
  }
  int64_t one = 3, stride = 8;
  CHECK(td_sort(NULL, &stride, 1, &one, TD_C64, 0, 0, NULL, NULL) == TD_ERR_DTYPE);
  CHECK(td_sort(NULL, &stride, 1, &one, TD_F64, 0, 4, NULL, NULL) == TD_ERR_VALUE);
}

/* Every float16 survives the way to float32 and back, and rounding goes to the nearest, ties to even. */
void test_half(void) {
  for (uint32_t h = 0; h < 65536; ++h) {
    float x = td_f16_to_f32((uint16_t)h), y = td_bf16_to_f32((uint16_t)h);
    if (isnan(x))
      CHECK(isnan(td_f16_to_f32(td_f32_to_f16(x))));
    else
      CHECK(td_f32_to_f16(x) == h);
    if (isnan(y))
      CHECK(isnan(td_bf16_to_f32(td_f32_to_bf16(y))));
    else
      CHECK(td_f32_to_bf16(y) == h);
    if ((h & 0x7fff) >= 0x7bff) continue; /* the largest finite one has no neighbour */
    float next = td_f16_to_f32((uint16_t)(h + 1)), middle = (x + next) / 2;
    CHECK(td_f32_to_f16(middle) == (h & 1 ? h + 1 : h));
    CHECK(td_f32_to_f16(nextafterf(middle, next)) == h + 1);
    CHECK(td_f32_to_f16(nextafterf(middle, x)) == h);
  }
  CHECK(td_f32_to_f16(65519.0f) == 0x7bff && td_f32_to_f16(65520.0f) == 0x7c00 && td_f32_to_f16(1e30f) == 0x7c00);
  CHECK(td_f32_to_f16(-1e-10f) == 0x8000);
  CHECK(td_f32_to_bf16(3.4e38f) == 0x7f80);
}

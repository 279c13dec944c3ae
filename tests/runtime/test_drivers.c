#include "check.h"

static void random_sizes(int64_t *sizes, int ndim, int64_t budget) {
  for (int d = 0; d < ndim; ++d) {
    int64_t most = d == ndim - 1 ? budget : budget / 3 + 1;
    sizes[d] = 1 + random_below(most < 1 ? 1 : most > 40 && random_below(2) ? 40 : most);
    budget /= sizes[d];
  }
}

static array random_array(size_t elem_size, int ndim, const int64_t *sizes) {
  int order[8];
  random_order(order, ndim);
  return make_array(elem_size, ndim, sizes, random_below(2) ? order : NULL);
}

/* Broadcasts some dims. */
static void broadcast(array *a) {
  for (int d = 0; d < a->ndim; ++d)
    if (random_below(4) == 0) a->strides[d] = 0;
}

static td_operand operand(const array *a) { return (td_operand){a->data, a->strides}; }

void test_map(void) {
  for (int round = 0; round < 300; ++round) {
    td_set_num_threads(1 + round % 3);
    int ndim = (int)random_below(6);
    int64_t sizes[8];
    random_sizes(sizes, ndim, round % 10 == 0 ? 300000 : 2000);
    array out = random_array(4, ndim, sizes), a = random_array(4, ndim, sizes), b = random_array(4, ndim, sizes);
    fill_floats(&a);
    fill_floats(&b);
    if (round % 2) broadcast(&a);
    td_operand ops[3] = {operand(&out), operand(&a), operand(&b)};
    CHECK(td_map(&add_f32, ops, ndim, sizes) == TD_OK);
    for (int64_t i = 0; i < numel(&out); ++i)
      CHECK(*(float *)element(&out, i) == *(float *)element(&a, i) + *(float *)element(&b, i));
    drop_array(&out);
    drop_array(&a);
    drop_array(&b);
  }
  int64_t none[3] = {4, 0, 5}, strides[3] = {0, 0, 4};
  td_operand ops[3] = {{NULL, strides}, {NULL, strides}, {NULL, strides}};
  CHECK(td_map(&add_f32, ops, 3, none) == TD_OK);
}

void test_map_index(void) {
  for (int round = 0; round < 120; ++round) {
    td_set_num_threads(1 + round % 3);
    int ndim = 1 + (int)random_below(5);
    int64_t sizes[8];
    random_sizes(sizes, ndim, round % 10 == 0 ? 600000 : 2000);
    if (round % 40 == 0) sizes[ndim - 1] = 700001, sizes[0] = ndim > 1 ? 2 : 700001;
    for (int d = 1; round % 40 == 0 && d + 1 < ndim; ++d) sizes[d] = 1;
    array out = random_array(8, ndim, sizes);
    td_operand ops[1] = {operand(&out)};
    CHECK(td_map(&index_i64, ops, ndim, sizes) == TD_OK);
    for (int64_t i = 0; i < numel(&out); ++i) CHECK(*(int64_t *)element(&out, i) == i);
    drop_array(&out);
  }
}

/* The canonical row sum of elements [first, first + n) of `a` in logical order. */
static float row_sum(const array *a, int64_t first, int64_t n) {
  float total = 0;
  for (int64_t i0 = 0; i0 < n; i0 += TD_ROW_BLOCK) {
    float lane[TD_LANES] = {0};
    for (int64_t i = 0; i < TD_ROW_BLOCK && i0 + i < n; ++i) lane[i % TD_LANES] += *(float *)element(a, first + i0 + i);
    for (int half = TD_LANES / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
    total += lane[0];
  }
  return total;
}

void test_rows(void) {
  static const uint8_t elem_size[2] = {4, 4};
  for (int round = 0; round < 200; ++round) {
    int ndim = 1 + (int)random_below(4), nred = 1 + (int)random_below(ndim);
    int64_t sizes[8], n = 1, rows = 1;
    random_sizes(sizes, ndim, 3000);
    if (round % 20 == 0) { /* long rows, few of them */
      for (int d = 0; d < ndim; ++d) sizes[d] = 1 + random_below(2);
      sizes[ndim - 1] = 60001 + random_below(100000);
    }
    if (round % 33 == 1) sizes[ndim - 1] = 0;
    for (int d = 0; d < ndim; ++d) *(d < ndim - nred ? &rows : &n) *= sizes[d];
    array x = random_array(4, ndim, sizes), full = random_array(4, ndim, sizes);
    array sums = random_array(4, ndim - nred, sizes);
    fill_floats(&x);
    if (round % 3 == 0) broadcast(&x);
    for (int d = ndim - nred; d < ndim; ++d) sums.strides[d] = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
      td_set_num_threads(threads);
      memset(sums.data, 0xff, (size_t)rows * 4);
      td_operand ops[2] = {operand(&sums), operand(&x)};
      CHECK(td_rows(&sum_rows, ops, elem_size, ndim, nred, sizes) == TD_OK);
      for (int64_t r = 0; r < rows; ++r) CHECK(*(float *)element(&sums, r) == row_sum(&x, r * n, n));
    }
    td_operand ops[2] = {operand(&full), operand(&x)};
    CHECK(td_rows(&center_rows, ops, elem_size, ndim, nred, sizes) == TD_OK);
    for (int64_t r = 0; r < rows; ++r) {
      float total = 0;
      for (int64_t i = 0; i < n; ++i) total += *(float *)element(&x, r * n + i);
      for (int64_t i = 0; i < n; ++i)
        CHECK(*(float *)element(&full, r * n + i) == *(float *)element(&x, r * n + i) - total);
    }
    if (round % 3) { /* in place */
      array copy = make_array(4, ndim, sizes, NULL);
      for (int64_t i = 0; i < numel(&x); ++i) *(float *)element(&copy, i) = *(float *)element(&full, i);
      td_operand same[2] = {operand(&x), operand(&x)};
      CHECK(td_rows(&center_rows, same, elem_size, ndim, nred, sizes) == TD_OK);
      for (int64_t i = 0; i < numel(&x); ++i) CHECK(*(float *)element(&x, i) == *(float *)element(&copy, i));
      drop_array(&copy);
    }
    drop_array(&x);
    drop_array(&full);
    drop_array(&sums);
  }
}

void test_cols(void) {
  static const uint8_t elem_size[2] = {4, 4}, arg_size[2] = {8, 4};
  for (int round = 0; round < 200; ++round) {
    int ndim = 1 + (int)random_below(5), begin = (int)random_below(ndim), nred = 1 + (int)random_below(ndim - begin);
    int64_t sizes[8], kept_sizes[8], outer = 1, rows = 1, inner = 1;
    random_sizes(sizes, ndim, round % 10 == 0 ? 200 : 3000);
    if (round % 10 == 0) sizes[begin] += 1500;
    if (round % 37 == 1) sizes[begin] = 0;
    for (int d = 0; d < ndim; ++d) {
      *(d < begin ? &outer : d < begin + nred ? &rows : &inner) *= sizes[d];
      kept_sizes[d] = d < begin || d >= begin + nred ? sizes[d] : 1;
    }
    array x = random_array(4, ndim, sizes), sums = random_array(4, ndim, kept_sizes),
          args = random_array(8, ndim, kept_sizes);
    fill_floats(&x);
    if (round % 3 == 0) broadcast(&x);
    for (int d = begin; d < begin + nred; ++d) sums.strides[d] = args.strides[d] = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
      td_set_num_threads(threads);
      memset(sums.data, 0xff, (size_t)(outer * inner) * 4);
      td_operand ops[2] = {operand(&sums), operand(&x)}, arg_ops[2] = {operand(&args), operand(&x)};
      CHECK(td_cols(&sum_cols, ops, elem_size, ndim, begin, nred, sizes) == TD_OK);
      CHECK(td_cols(&first_max_cols, arg_ops, arg_size, ndim, begin, nred, sizes) == TD_OK);
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t c = 0; c < inner; ++c) {
          float total = 0, most = 0;
          int64_t at = -1;
          for (int64_t r0 = 0; r0 < rows; r0 += TD_COL_BLOCK) {
            float part = 0;
            for (int64_t r = r0; r < rows && r < r0 + TD_COL_BLOCK; ++r) {
              float v = *(float *)element(&x, (o * rows + r) * inner + c);
              part += v;
              if (at < 0 || v > most) most = v, at = r;
            }
            total += part;
          }
          CHECK(*(float *)element(&sums, o * inner + c) == total);
          CHECK(*(int64_t *)element(&args, o * inner + c) == at);
        }
    }
    drop_array(&x);
    drop_array(&sums);
    drop_array(&args);
  }
}

void test_scan(void) {
  for (int round = 0; round < 100; ++round) {
    td_set_num_threads(1 + round % 3);
    int ndim = 1 + (int)random_below(4), dim = (int)random_below(ndim);
    int64_t sizes[8], inner = 1;
    random_sizes(sizes, ndim, round % 10 == 0 ? 400000 : 2000);
    array x = random_array(4, ndim, sizes), y = random_array(4, ndim, sizes);
    fill_floats(&x);
    if (round % 3 == 0) broadcast(&x);
    for (int d = dim + 1; d < ndim; ++d) inner *= sizes[d];
    td_operand ops[2] = {operand(&y), operand(&x)};
    CHECK(td_scan(&cumsum, ops, ndim, dim, sizes) == TD_OK);
    for (int64_t i = 0; i < numel(&x); ++i) {
      float before = i / inner % sizes[dim] ? *(float *)element(&y, i - inner) : 0.0f;
      CHECK(*(float *)element(&y, i) == before + *(float *)element(&x, i));
    }
    drop_array(&x);
    drop_array(&y);
  }
}

static void fill_bytes(array *a) {
  for (int64_t i = 0; i < numel(a) * (int64_t)a->elem_size; ++i) a->data[i] = (char)random_bits();
}

static void copy_once(size_t elem_size, int ndim, const int64_t *sizes, bool spread) {
  array dst = random_array(elem_size, ndim, sizes), src = random_array(elem_size, ndim, sizes);
  fill_bytes(&src);
  if (spread) broadcast(&src);
  CHECK(td_copy(dst.data, dst.strides, src.data, src.strides, ndim, sizes, elem_size) == TD_OK);
  for (int64_t i = 0; i < numel(&dst); ++i) CHECK(!memcmp(element(&dst, i), element(&src, i), elem_size));
  drop_array(&dst);
  drop_array(&src);
}

void test_copy(void) {
  static const size_t elem_sizes[] = {1, 2, 4, 8, 16, 3};
  for (int round = 0; round < 400; ++round) {
    int64_t sizes[8];
    int ndim = (int)random_below(6);
    td_set_num_threads(1 + round % 3);
    random_sizes(sizes, ndim, 4000);
    copy_once(elem_sizes[round % 6], ndim, sizes, round % 3 == 0);
  }
}

void test_copy_large(void) {
  static const size_t elem_sizes[] = {1, 2, 4, 8, 16};
  for (int i = 0; i < 5; ++i)
    for (int threads = 1; threads <= 3; threads += 2) {
      td_set_num_threads(threads);
      int64_t size = 400000 / (int64_t)elem_sizes[i];
      copy_once(elem_sizes[i], 2, (int64_t[]){701, size / 701 + 1}, false);
      copy_once(elem_sizes[i], 3, (int64_t[]){3, size / 100, 100}, true);
      copy_once(elem_sizes[i], 3, (int64_t[]){size, 1, 3}, false);
    }
}

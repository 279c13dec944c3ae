/* Times of the parts whose latency or bandwidth matters: `runtime_tests --bench`. */
#define _GNU_SOURCE
#include <time.h>

#include "check.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of several runs, in nanoseconds per call. */
#define TIME(label, repeats, statement)                                                                                \
  do {                                                                                                                 \
    double best = 1e9;                                                                                                 \
    for (int round = 0; round < 7; ++round) {                                                                          \
      double start = now();                                                                                            \
      for (int64_t repeat = 0; repeat < (repeats); ++repeat) statement;                                                \
      double each = (now() - start) / (double)(repeats);                                                               \
      if (each < best) best = each;                                                                                    \
    }                                                                                                                  \
    printf("%-44s %12.1f ns\n", label, best * 1e9);                                                                    \
  } while (0)

static void nothing(void *ctx, int64_t begin, int64_t end) { (void)ctx, (void)begin, (void)end; }
static void no_kernel(char *const *ptr, const int64_t *es, const int64_t *rs, int64_t n, int64_t rows, int64_t index,
                      void *scratch) {
  (void)ptr, (void)es, (void)rs, (void)n, (void)rows, (void)index, (void)scratch;
}

void bench(void) {
  static const td_kernel none = {.fn = (void *)no_kernel, .n_out = 1, .n_in = 2, .cost = 48};
  static const uint8_t elem_size[3] = {4, 4, 4};
  TIME("alloc + free, 256 B", 1000000, td_free(td_alloc(256)));
  TIME("alloc + free, 60 KB", 1000000, td_free(td_alloc(60000)));
  TIME("alloc + free, 4 MB", 100000, td_free(td_alloc(4 << 20)));
  int64_t sizes[2] = {8, 8}, strides[2] = {32, 4}, across[2] = {4, 32}, per_row[2] = {4, 0};
  char small[256];
  td_operand ops[3] = {{small, strides}, {small, strides}, {small, strides}};
  TIME("td_map 8x8 contiguous, driver only", 1000000, td_map(&none, ops, 2, sizes));
  ops[1].strides = across;
  TIME("td_map 8x8 transposed, driver only", 1000000, td_map(&none, ops, 2, sizes));
  ops[0].strides = per_row;
  TIME("td_rows 8x8, driver only", 1000000, td_rows(&none, ops, elem_size, 2, 1, sizes));
  for (int threads = 1; threads <= 2; ++threads) {
    td_set_num_threads(2);
    TIME("td_parallel_for, 2 blocks, awake", 20000, td_parallel_for(2, nothing, NULL));
    td_set_num_threads(threads);
    printf("-- %d thread(s)\n", threads);
    int64_t side = 2048, big[2] = {side, side}, row[2] = {side * 4, 4}, col[2] = {4, side * 4};
    float *x = td_alloc((size_t)(side * side * 4)), *y = td_alloc((size_t)(side * side * 4));
    memset(x, 0, (size_t)(side * side * 4));
    memset(y, 0, (size_t)(side * side * 4));
    td_operand two[3] = {{(char *)y, row}, {(char *)x, row}, {(char *)x, row}};
    TIME("memcpy 16 MB", 5, memcpy(y, x, (size_t)(side * side * 4)));
    TIME("td_copy 16 MB", 5, td_copy((char *)y, row, (char *)x, row, 2, big, 4));
    TIME("td_copy 16 MB, transposed", 5, td_copy((char *)y, row, (char *)x, col, 2, big, 4));
    TIME("td_map add 16 MB", 5, td_map(&add_f32, two, 2, big));
    two[2].strides = col;
    TIME("td_map add 16 MB, one transposed", 5, td_map(&add_f32, two, 2, big));
    int64_t rows = 4096, wide[2] = {rows, 256}, out[2] = {1024, 4}, in[2] = {0, 4}, index_strides[2] = {8, 0};
    int64_t *at = td_alloc((size_t)rows * 8);
    for (int64_t i = 0; i < rows; ++i) at[i] = random_below(8192);
    td_index index = {(char *)at, index_strides, 8192, 1024, 0, TD_I64};
    TIME("td_gather 4096 rows of 256 floats", 20, td_gather((char *)y, out, (char *)x, in, 1, &index, 2, wide, 4));
    TIME("td_scatter add, the same", 20,
         td_scatter((char *)x, in, (char *)y, out, 1, &index, 2, wide, TD_F32, TD_SCATTER_ADD));
    for (int64_t i = 0; i < side * side; ++i) x[i] = random_float();
    int64_t *places = td_alloc(1000000 * 8), million = 1000000, step = 4;
    TIME("td_sort 1M floats", 1, td_sort((char *)x, &step, 1, &million, TD_F32, 0, 0, (char *)y, places));
    TIME("td_sort 1M floats, top 10", 1, td_sort((char *)x, &step, 1, &million, TD_F32, 1, 10, (char *)y, places));
    td_free(places);
    td_free(at);
    td_free(x);
    td_free(y);
  }
}

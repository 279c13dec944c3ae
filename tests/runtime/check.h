/* What the runtime's tests share: checks, random data, strided walks, hand-written kernels. */
#ifndef TAEDA_TEST_CHECK_H
#define TAEDA_TEST_CHECK_H
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "taeda_rt.h"

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                  \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)
#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

uint32_t random_bits(void);
int64_t random_below(int64_t n);
float random_float(void); /* in [-1, 1) */

/* A tensor with its own memory. `strides` in bytes, one per dim. */
typedef struct array {
  char *data;
  int ndim;
  int64_t sizes[8], strides[8];
  size_t elem_size;
} array;
/* Dims are laid out in memory in the order `order` (outermost first; NULL: as they come), so it may be a permuted view.
 */
array make_array(size_t elem_size, int ndim, const int64_t *sizes, const int *order);
void drop_array(array *a);
void fill_floats(array *a);
int64_t numel(const array *a);
/* The element with logical linear number i. */
char *element(const array *a, int64_t i);
void random_order(int *order, int ndim);

extern const td_kernel add_f32;        /* out = a + b */
extern const td_kernel index_i64;      /* out = the linear index */
extern const td_kernel sum_rows;       /* per-row float32 sum, canonical order, with partial and finish */
extern const td_kernel center_rows;    /* out = x - sum(x), through scratch */
extern const td_kernel sum_cols;       /* column sums */
extern const td_kernel first_max_cols; /* argmax over rows (i64) */
extern const td_kernel cumsum;         /* scan */

void test_memory(void);
void test_memory_limits(void);
void test_memory_threads(void);
void test_parallel_for(void);
void test_parallel_callers(void);
void test_fork(void);
void test_errors(void);
void test_map(void);
void test_map_index(void);
void test_rows(void);
void test_cols(void);
void test_scan(void);
void test_copy(void);
void test_copy_large(void);
void test_gather(void);
void test_scatter(void);
void test_scatter_parts(void);
void test_index_errors(void);
void test_nonzero(void);
void test_sort(void);
void test_half(void);
void bench(void);
#endif

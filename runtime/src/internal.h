/* What the runtime's own files share. Not installed. */
#ifndef TAEDA_RT_INTERNAL_H
#define TAEDA_RT_INTERNAL_H
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "taeda_rt.h"

#ifdef TD_NO_THREADS
#define TD_THREAD_LOCAL
#else
#define TD_THREAD_LOCAL _Thread_local
#endif

/* Work of one parallel block in units of td_kernel.cost: some 10 us when data is in cache. Less than this runs
 * serially. */
#define TD_BLOCK_COST (INT64_C(1) << 22)
/* The same for plain copies. */
#define TD_BLOCK_BYTES (INT64_C(1) << 18)

static inline int64_t td_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t td_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t td_abs(int64_t a) { return a < 0 ? -a : a; }
static inline int64_t td_ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
static inline int64_t td_round_up(int64_t a, int64_t to) { return td_ceil_div(a, to) * to; }
static inline int64_t td_product(const int64_t *sizes, int ndim) {
  int64_t n = 1;
  for (int d = 0; d < ndim; ++d) n *= sizes[d];
  return n;
}

/* Number of elements of `cost` each that make one parallel block. */
static inline int64_t td_block_elements(uint32_t cost) { return td_max(1, TD_BLOCK_COST / (cost ? cost : 16)); }

/* Elements [first, first + count), in logical order, of `ndim` dims, each with `columns` elements `column_stride`
   apart, copied to consecutive places of dst. */
void td_copy_range(char *dst, const char *src, int ndim, const int64_t *sizes, const int64_t *strides, int64_t first,
                   int64_t count, int64_t columns, int64_t column_stride, size_t elem_size);

/* One turn of a short wait for another thread; `turns` so far. */
void td_wait(int turns);

/* A scratch block ran out of memory inside a parallel job: the job reports it through here on the calling thread. */
static inline td_status td_job_status(int failed, const char *what) {
  return failed ? td_fail(TD_ERR_MEMORY, "%s: out of memory for scratch space", what) : TD_OK;
}
#endif

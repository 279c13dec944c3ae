/* What generated matrix-product kernels look like to the driver. taeda/codegen/gemm.py writes the constant. */
#ifndef TAEDA_RT_GEMM_H
#define TAEDA_RT_GEMM_H
#include "taeda_rt.h"

/* C[0:m, 0:n] (+)= A B over k steps; k step kk of A is at a + kk*a_k, row i of it a_row further (consecutive elements
   in the packed form); row kk of B, nr consecutive elements, at b + kk*b_k. first: C starts from zero. 1 <= m <= rows,
   1 <= n <= nr. */
typedef void (*td_micro_fn)(int64_t k, const char *a, int64_t a_k, int64_t a_row, const char *b, int64_t b_k, char *c,
                            int64_t c_row, int64_t m, int64_t n, int64_t first);
typedef struct td_run {
  int64_t lane, count, offset;
} td_run; /* `count` consecutive elements, to lanes lane.. of a panel row */
typedef void (*td_pack_runs_fn)(char *dst, int64_t dst_k, const char *src, const int64_t *off_k, int64_t k,
                                const td_run *runs, int64_t count);
typedef void (*td_pack_transposed_fn)(char *dst, int64_t dst_k, const char *src, const int64_t *off_lane, int64_t lanes,
                                      int64_t k);

struct td_gemm_kernels {
  td_micro_fn packed, strided, thin; /* thin: few rows, strided */
  td_pack_runs_fn runs;
  td_pack_transposed_fn transposed;
  int32_t dtype, panel_dtype; /* of the operands; of panels and accumulators */
  int32_t size;               /* bytes of a panel element */
  int32_t mr, thin_mr, nr, width;
  int32_t kc, mc, nc; /* block sizes that suit the caches */
};
#endif

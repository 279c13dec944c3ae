/* Row kernels run over finished blocks of a contraction's result. */
#ifndef TAEDA_RT_GEMM_EPILOGUE_H
#define TAEDA_RT_GEMM_EPILOGUE_H
#include "taeda_rt.h"

typedef struct td_gemm_dims { /* a group with adjacent dims joined where every operand allows */
  int ndim;
  int64_t sizes[TD_MAX_DIMS];
  int64_t strides[TD_MAX_OPERANDS][TD_MAX_DIMS];
} td_gemm_dims;
typedef struct td_gemm_epilogue {
  const td_kernel *k;
  const td_operand *ops;
  int n_ops;
  td_gemm_dims batch, m, n;
} td_gemm_epilogue;

void td_gemm_prepare_epilogue(td_gemm_epilogue *e, const td_epilogue *from, const td_group *batch, const td_group *m,
                              const td_group *n);
/* Rows [m0, m1) and columns [n0, n1) of one batch, in logical positions. */
void td_gemm_run_epilogue(const td_gemm_epilogue *e, int64_t batch, int64_t m0, int64_t m1, int64_t n0, int64_t n1);
#endif

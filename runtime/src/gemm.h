/* What generated matrix-product kernels look like to the driver. taeda/codegen/gemm.py writes the constant. */
#ifndef TAEDA_RT_GEMM_H
#define TAEDA_RT_GEMM_H
#include "taeda_rt.h"

/* C[0:m, 0:n] (+)= A B over k steps; k step kk of A is at a + kk*a_k, row i of it a_row further (consecutive elements
   in the packed form); row kk of B, nr elements of which n count, at b + kk*b_k. first: C starts from zero. The kernel
   for r rows takes m = r or r - 1; 1 <= n <= nr. */
typedef void (*td_micro_fn)(int64_t k, const char *a, int64_t a_k, int64_t a_row, const char *b, int64_t b_k, char *c,
                            int64_t c_row, int64_t m, int64_t n, int64_t first);
/* Packers write `width` lanes of k panel rows, dst_k bytes apart, from src + off_k[kk]. Lanes that the operand lacks
   become zero or repeat others: they take part in the arithmetic, and whatever lay there could be a slow subnormal
   number. `wide` copies whole rows to several panels. */
typedef struct td_run {
  int64_t first, end, offset;
} td_run; /* lanes [first, end) are consecutive elements; `offset` is where lane 0 would lie */
#define TD_PACK_RUNS 3
typedef void (*td_pack_wide_fn)(char *dst, int64_t panel, const char *src, const int64_t *off_k, int64_t k,
                                int64_t panels);
typedef void (*td_pack_tall_fn)(char *dst, int64_t panel, const char *src, const int64_t *off_k, int64_t k,
                                int64_t panels, int64_t lanes); /* the same for panels of up to `width` lanes */
typedef void (*td_pack_runs_fn)(char *dst, int64_t dst_k, const char *src, const int64_t *off_k, int64_t k,
                                const td_run *runs, int64_t count); /* 1 to TD_PACK_RUNS */
typedef void (*td_pack_lanes_fn)(char *dst, int64_t dst_k, const char *src, const int64_t *off_k, int64_t k,
                                 const int64_t *off_lane, int64_t lanes);
/* k runs of `run` consecutive elements, the first of which has `left` */
typedef void (*td_pack_transposed_fn)(char *dst, int64_t dst_k, const char *src, const int64_t *off_k, int64_t k,
                                      const int64_t *off_lane, int64_t lanes, int64_t run, int64_t left);

#define TD_MICRO_KERNELS 8 /* at most; for 2, 4, ... rows */
struct td_gemm_kernels {
  td_micro_fn packed[TD_MICRO_KERNELS], strided[TD_MICRO_KERNELS];
  td_pack_wide_fn wide;
  td_pack_tall_fn tall;
  td_pack_runs_fn runs;
  td_pack_lanes_fn lanes;
  td_pack_transposed_fn transposed;
  int32_t dtype, panel_dtype; /* of the operands; of panels and accumulators */
  int32_t size;               /* bytes of a panel element */
  int32_t mr, nr, width;
  int32_t kc, nc; /* block sizes that suit the caches */
};

/* One operand: element (i, k) at data + off_i[i] + off_k[k]. */
typedef struct td_gemm_side {
  const char *data;
  int64_t *off_i, *off_k;
  int64_t run_i, run_k;   /* runs of consecutive elements along i and k */
  int64_t step_i, step_k; /* the one stride along i or k, 0 if there is none */
} td_gemm_side;

/* Length of the runs of elements `size` bytes apart that the whole table is made of, and its one stride. */
void td_gemm_describe(const int64_t *off, int64_t count, int64_t size, int64_t *run, int64_t *step);
/* Lanes [i0, i0 + lanes) and steps [k0, k0 + k) of an operand into a panel of `row` lanes a step; those beyond `lanes`
   are zero or repeat others. */
void td_gemm_pack(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t k0, int64_t k,
                  char *dst, int64_t row);
/* The same for tiles of mr lanes each, `panel` bytes apart, of an operand whose lanes are consecutive. */
void td_gemm_pack_tiles(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t mr,
                        int64_t k0, int64_t k, char *dst, int64_t panel);
/* The same for `panels` adjacent panels of nr lanes, `panel` bytes apart, the last of which may have fewer lanes. */
void td_gemm_pack_panels(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t k0,
                         int64_t k, char *dst, int64_t panel);
#endif

/* Taeda runtime: the portable C11 ABI that compiled code, the eager core and exported programs share.
   No dependency but libc and pthreads. Sizes are in elements, strides in BYTES everywhere in this header. */
#ifndef TAEDA_RT_H
#define TAEDA_RT_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define TD_MAX_DIMS 32     /* rank of a tensor */
#define TD_MAX_OPERANDS 64 /* operands of one generated kernel */

typedef enum td_dtype {
  TD_BOOL = 0,
  TD_U8 = 1,
  TD_I8 = 2,
  TD_I16 = 3,
  TD_I32 = 4,
  TD_I64 = 5,
  TD_F16 = 6,
  TD_BF16 = 7,
  TD_F32 = 8,
  TD_F64 = 9,
  TD_C64 = 10,
  TD_C128 = 11,
  TD_NUM_DTYPES = 12
} td_dtype;
size_t td_dtype_size(td_dtype dtype); /* bytes of one element */

/* ---- errors: functions that can fail return td_status; the text is per thread ---- */
typedef int32_t td_status;
enum {
  TD_OK = 0,
  TD_ERR_MEMORY = 1,
  TD_ERR_INDEX = 2,
  TD_ERR_SHAPE = 3,
  TD_ERR_VALUE = 4,
  TD_ERR_DTYPE = 5,
  TD_ERR_IO = 6,
  TD_ERR_GUARD = 7,
  TD_ERR_HOST = 8 /* a td_host_fn failed; whoever provided it knows why */
};
const char *td_last_error(void);
td_status td_fail(td_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- memory: 64-byte aligned, caching, thread-safe ---- */
void *td_alloc(size_t nbytes); /* NULL when the system has none left; td_alloc(0) is a valid unique block */
void td_free(void *block);     /* NULL allowed */
typedef struct td_mem_stats {
  uint64_t in_use, cached, peak_in_use, alloc_calls, system_calls;
} td_mem_stats;
void td_mem_get_stats(td_mem_stats *out);
void td_mem_reset_peak(void);
void td_mem_trim(void); /* give cached blocks back to the system */

/* ---- threads: work is cut into `blocks` fixed pieces; results never depend on the number of threads ---- */
typedef void (*td_block_fn)(void *ctx, int64_t begin, int64_t end); /* half-open range of block numbers */
void td_parallel_for(int64_t blocks, td_block_fn fn, void *ctx);    /* nested calls run on the calling thread */
void td_set_num_threads(int n);                                     /* >= 1 */
int td_get_num_threads(void);
int td_thread_index(void); /* 0 for the caller, 1.. for pool threads (index of scratch areas) */
/* Fork-safe: a forked child starts with no pool threads and makes its own on first use. */

/* ---- generated kernels ----
   A row kernel runs over a block of `rows` rows of `n` elements. Operands are outputs first, then inputs; element
   (r, i) of operand j is at ptr[j] + r*row_stride[j] + i*elem_stride[j]. `index` is the logical linear index of element
   (0,0) (only read by kernels flagged TD_K_INDEX; then element (r,i) has linear index index + r*n + i). `scratch` has
   n * scratch_per_elem bytes (64-byte aligned). A kernel that reduces along i (softmax, a plain sum...) is handed whole
   rows. */
typedef void (*td_row_fn)(char *const *ptr, const int64_t *elem_stride, const int64_t *row_stride, int64_t n,
                          int64_t rows, int64_t index, void *scratch);
/* Blocked reduction of long rows / of columns. `partial` INITIALISES one accumulator state per row (row form: element
   range [i0, i0+n) of one row, at most TD_ROW_BLOCK) or per column (col form: at most TD_COL_BLOCK rows, perhaps none)
   from the identity; `finish` folds `count` >= 1 state areas, `state_stride` bytes apart, in order and stores n outputs
   per operand, out_stride[j] bytes apart. `ptr` holds all operands, outputs first, though partial reads inputs only.
   Row form: ptr[j] is element 0 of the row (the kernel adds i0*elem_stride). Col form: ptr[j] is (row r0, column 0); r0
   is only the position, for argmax. A state area is n*state_size bytes, 64-byte aligned; its layout is the kernel's
   choice. In the row form n is 1 for `finish`. Running fn on whole rows gives the same bits as partial and finish. */
typedef void (*td_partial_row_fn)(char *const *ptr, const int64_t *elem_stride, int64_t n, int64_t i0, char *state);
typedef void (*td_partial_col_fn)(char *const *ptr, const int64_t *elem_stride, const int64_t *red_stride, int64_t n,
                                  int64_t rows, int64_t r0, char *state);
typedef void (*td_finish_fn)(char *const *out_ptr, const int64_t *out_stride, const char *states, int64_t state_stride,
                             int64_t count, int64_t n);
#define TD_ROW_BLOCK 16384 /* canonical: a trailing-run reduction is cut into blocks of this many elements ... */
#define TD_COL_BLOCK 256   /* ... and a non-trailing one into blocks of this many rows; blocks are folded in order */
#define TD_LANES 32        /* canonical: within a row block element i goes to lane i % 32; lanes fold as a fixed tree */

enum {
  TD_K_INDEX = 1, /* uses the linear index: the driver must keep logical order */
  TD_K_REDUCES = 2
}; /* has at least one reduction along i: needs whole rows */
typedef struct td_kernel {
  void *fn;      /* td_row_fn (scans too); for column reductions td_partial_col_fn */
  void *partial; /* td_partial_row_fn or NULL */
  void *finish;  /* td_finish_fn or NULL */
  uint32_t flags;
  uint32_t n_out, n_in;
  uint32_t scratch_per_elem;
  uint32_t state_size; /* bytes of one accumulator state (all outputs) */
  uint32_t cost;       /* rough cost of one element in 1/16 of a simple add; sets how work is cut for threads */
} td_kernel;

typedef struct td_operand {
  char *data;
  const int64_t *strides;
} td_operand; /* one stride per iteration dim, 0 = broadcast */

/* Drivers: collapse dims, pick the inner dim, cut into fixed blocks, run in parallel. Shared by eager and compiled
 * code. */
td_status td_map(const td_kernel *k, const td_operand *ops, int ndim, const int64_t *sizes);
/* Row programs with reductions: the last `nred` dims are the reduced run (flattened in logical order; an operand whose
   run does not collapse to one stride is first copied); outputs have stride 0 there if they are per-row, or full
   strides. */
td_status td_rows(const td_kernel *k, const td_operand *ops, const uint8_t *elem_size, int ndim, int nred,
                  const int64_t *sizes);
/* Column reduction: dims are [outer..., reduced run (nred dims), inner...]; outputs have stride 0 along the run. */
td_status td_cols(const td_kernel *k, const td_operand *ops, const uint8_t *elem_size, int ndim, int red_begin,
                  int nred, const int64_t *sizes);
/* Scan along one dim: fn(ptr, elem_stride along the scan, row_stride across rows, n, rows) in row-kernel form. */
td_status td_scan(const td_kernel *k, const td_operand *ops, int ndim, int dim, const int64_t *sizes);

/* Strided copy of same-size elements (blocked for transposes); overlapping source and destination is an error of the
 * caller. */
td_status td_copy(char *dst, const int64_t *dst_strides, const char *src, const int64_t *src_strides, int ndim,
                  const int64_t *sizes, size_t elem_size);

/* ---- indexed access: iteration space `sizes`; the indexed side is addressed by base strides (per iteration dim) plus
   sum_j wrap(index_j[it]) * target_stride_j. Negative indices wrap once, where asked for; out of range fails with
   TD_ERR_INDEX naming the index, the dimension and its size (nothing is written in that case). Index dtype: i64 or i32.
   ---- */
typedef struct td_index {
  const char *data;
  const int64_t *strides; /* per iteration dim */
  int64_t size;           /* bound of the indexed dimension */
  int64_t target_stride;  /* bytes in the indexed tensor */
  int32_t dim;            /* for the message; -1 - dim: negative indices do not wrap, they are out of range */
  int32_t dtype;
} td_index;
td_status td_gather(char *out, const int64_t *out_strides, const char *src, const int64_t *src_strides, int n_index,
                    const td_index *index, int ndim, const int64_t *sizes, size_t elem_size);
/* Duplicates: the last write wins, or they are combined in iteration order (max and min: NaN wins). */
enum { TD_SCATTER_SET = 0, TD_SCATTER_ADD = 1, TD_SCATTER_MUL = 2, TD_SCATTER_MAX = 3, TD_SCATTER_MIN = 4 };
td_status td_scatter(char *dst, const int64_t *dst_strides, const char *src, const int64_t *src_strides, int n_index,
                     const td_index *index, int ndim, const int64_t *sizes, td_dtype dtype, int mode);
/* Stable sort along the last of `ndim` dims (NaN sorts as the largest). values/indices (i64) contiguous. k > 0: only
   the first k of each row are wanted (topk): outputs then have k as their last size. */
td_status td_sort(const char *src, const int64_t *src_strides, int ndim, const int64_t *sizes, td_dtype dtype,
                  int descending, int64_t k, char *values, int64_t *indices);
/* Coordinates of nonzero bool elements: two passes; count, then fill i64 [count, ndim] (contiguous). */
int64_t td_nonzero_count(const char *src, const int64_t *strides, int ndim, const int64_t *sizes);
void td_nonzero_fill(const char *src, const int64_t *strides, int ndim, const int64_t *sizes, int64_t *out);

/* ---- contraction: C[b,m,n] = sum_k A[b,m,k]*B[b,k,n], k strictly in order with fused multiply-add, one accumulator
   per output; each of b, m, n, k is a GROUP of dims, so permuted, im2col and broadcast operands are read in place by
   packing. */
typedef struct td_group {
  int ndim;
  const int64_t *sizes;
  const int64_t *a, *b, *c; /* byte strides; NULL: not in that operand */
} td_group;
typedef struct td_gemm_kernels
    td_gemm_kernels; /* generated micro-kernel and packers of one dtype; see runtime/src/gemm.h */
typedef struct td_epilogue {
  const td_kernel *k;
  const td_operand *ops; /* outputs first: ops[0] is C as output, ops[1] C as input, then the rest; one stride per dim
                            [b..., m..., n...] */
} td_epilogue;
td_status td_contract(const td_gemm_kernels *g, char *c, const char *a, const char *b, const td_group *batch,
                      const td_group *m, const td_group *n, const td_group *k,
                      const td_epilogue *epilogue /* or NULL */);

/* ---- random state: Philox 4x32-10 counter ranges; the arithmetic is in generated kernels ---- */
typedef struct td_rng {
  uint64_t seed, offset;
} td_rng;
/* Takes `count` counters and returns the first. Thread-safe only under the caller's lock. */
uint64_t td_rng_reserve(td_rng *rng, uint64_t count);

/* ---- compiled programs ---- */
typedef struct td_tensor { /* what a compiled program takes and returns */
  char *data;
  int32_t dtype;
  int32_t ndim;
  int64_t sizes[TD_MAX_DIMS];
  int64_t strides[TD_MAX_DIMS]; /* bytes */
  void *owner;                  /* block from td_alloc that holds data (outputs), or NULL (borrowed) */
} td_tensor;
typedef struct td_ctx {
  td_rng *rng;
  const double *host_scalars;
  const td_tensor *weights;
  int64_t failed_step; /* out: the step of the program's plan whose call failed; left alone if none did */
} td_ctx;
/* What a program leaves to the process that loaded it (LAPACK, an FFT): inputs are read, outputs (memory of the
   program) are filled; `numbers` are sizes known at run time. */
typedef td_status (*td_host_fn)(void *ctx, const td_tensor *inputs, int n_in, const td_tensor *outputs, int n_out,
                                const int64_t *numbers, int n_numbers);
typedef struct td_host {
  td_host_fn fn;
  void *ctx;
} td_host;
/* inputs are borrowed; outputs are filled by the program (owner set), the caller frees with td_free(owner). An output
   that is an in-place update of input i has data == inputs[i].data and owner NULL. */
typedef td_status (*td_program_fn)(td_ctx *ctx, const td_tensor *inputs, td_tensor *outputs);

#ifdef __cplusplus
}
#endif
#endif

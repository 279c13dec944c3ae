/* Contractions: blocking, packing and threads around the generated micro-kernels. Every output is one accumulator that
   takes its k products in order, so nothing decided here changes a bit of the result. */
#include "gemm.h"

#include "gemm_epilogue.h"
#include "half.h"
#include "internal.h"

#define PACK_SLACK 256                   /* bytes that packers may write behind a panel */
#define PARALLEL_WORK (INT64_C(1) << 17) /* multiply-adds below which one thread does it all */
#define DIRECT_B_TILES 4                 /* a B panel that fewer row tiles read is not worth packing */
#define DIRECT_A_TILES 3                 /* the same for A and column tiles */

/* One operand: element (i, k) at data + off_i[i] + off_k[k]. */
typedef struct side {
  const char *data;
  int64_t *off_i, *off_k;
  int64_t run_i, run_k;   /* runs of consecutive elements along i and k */
  int64_t step_i, step_k; /* the one stride along i or k, 0 if there is none */
} side;

typedef struct job {
  const td_gemm_kernels *g;
  side a, b;
  char *c;
  int64_t *c_m, *c_n; /* byte offsets of rows and columns of C */
  int64_t c_step_n;   /* the one stride of its columns, 0 if there is none */
  int64_t m, n, k;
  int64_t batches;
  const int64_t *batch_a, *batch_b, *batch_c;
  int64_t pieces; /* of one batch */
  bool split_m;
  bool swapped; /* rows and columns of the caller are exchanged */
  td_gemm_epilogue *epilogue;
  const td_group *batch_group;
  _Atomic int failed;
} job;

/* Byte offsets of every index of a group for one operand, in logical order. */
static void fill_offsets(const td_group *g, const int64_t *strides, int64_t *out) {
  int64_t count = 1;
  out[0] = 0;
  for (int d = 0; d < g->ndim; ++d) { /* each dim multiplies what is there, later dims innermost */
    int64_t size = g->sizes[d], stride = strides ? strides[d] : 0;
    for (int64_t i = count - 1; i >= 0; --i)
      for (int64_t j = size - 1; j >= 0; --j) out[i * size + j] = out[i] + j * stride;
    count *= size;
  }
}

/* Length of the runs of elements `size` bytes apart that the whole table is made of, and its one stride. */
static void describe_offsets(const int64_t *off, int64_t count, int64_t size, int64_t *run, int64_t *step) {
  int64_t length = 1;
  while (length < count && off[length] - off[length - 1] == size) ++length;
  for (int64_t i = length; i < count && length > 1; i += length) /* every run as long as the first */
    for (int64_t j = i + 1; j < td_min(i + length, count); ++j)
      if (off[j] - off[j - 1] != size) {
        length = 1;
        break;
      }
  *run = length;
  *step = count > 1 ? off[1] - off[0] : size;
  for (int64_t i = 1; i < count; ++i)
    if (off[i] - off[i - 1] != *step) {
      *step = 0;
      break;
    }
}

static float widen(const char *p, int32_t dtype) {
  uint16_t h;
  memcpy(&h, p, 2);
  return dtype == TD_F16 ? td_f16_to_f32(h) : td_bf16_to_f32(h);
}

/* Lanes [i0, i0 + lanes) and steps [k0, k0 + k) of an operand into a panel whose rows are row_bytes apart. */
static void pack_panel(const td_gemm_kernels *g, const side *s, int64_t i0, int64_t lanes, int64_t k0, int64_t k,
                       char *dst, int64_t row_bytes) {
  if (g->dtype != g->panel_dtype) {
    for (int64_t kk = 0; kk < k; ++kk) {
      float *row = (float *)(dst + kk * row_bytes);
      for (int64_t i = 0; i < lanes; ++i) row[i] = widen(s->data + s->off_i[i0 + i] + s->off_k[k0 + kk], g->dtype);
    }
    return;
  }
  if (s->run_k > s->run_i && s->run_i < g->width / 2) { /* k runs: transposed through registers */
    for (int64_t kk = 0; kk < k;) {
      int64_t at = k0 + kk, piece = td_min(k - kk, s->run_k - at % s->run_k);
      for (int64_t lane = 0; lane < lanes; lane += g->width)
        g->transposed(dst + kk * row_bytes + lane * g->size, row_bytes, s->data + s->off_k[at], s->off_i + i0 + lane,
                      td_min(lanes - lane, g->width), piece);
      kk += piece;
    }
    return;
  }
  td_run runs[256];
  int64_t count = 0;
  for (int64_t i = 0; i < lanes;) {
    int64_t piece = td_min(td_min(lanes - i, s->run_i - (i0 + i) % s->run_i), g->width);
    runs[count++] = (td_run){i, piece, s->off_i[i0 + i]};
    i += piece;
  }
  g->runs(dst, row_bytes, s->data, s->off_k + k0, k, runs, count);
}

/* A tile whose rows or columns do not lie as the micro-kernel wants goes through `tile` [mr][nr], run by run. */
static void exchange_tile(const job *j, char *c, int64_t i0, int64_t m, int64_t j0, int64_t n, char *tile, bool store) {
  int64_t size = j->g->size, row = (int64_t)j->g->nr * size;
  for (int64_t l = 0; l < n;) {
    int64_t count = 1;
    while (l + count < n && j->c_n[j0 + l + count] - j->c_n[j0 + l + count - 1] == size) ++count;
    for (int64_t i = 0; i < m; ++i) {
      char *outside = c + j->c_m[i0 + i] + j->c_n[j0 + l], *inside = tile + i * row + l * size;
      memcpy(store ? outside : inside, store ? inside : outside, (size_t)(count * size));
    }
    l += count;
  }
}

typedef struct buffers {
  char *a, *b, *tile;
} buffers;

static bool consecutive(const int64_t *off, int64_t count, int64_t size) {
  if (off[count - 1] - off[0] != (count - 1) * size) return false;
  for (int64_t i = 1; i < count; ++i)
    if (off[i] - off[i - 1] != size) return false;
  return true;
}

static void multiply_tile(const job *j, const side *a, char *c, int64_t i0, int64_t m, int64_t j0, int64_t n,
                          int64_t k0, int64_t k, const char *panel_a, const char *panel_b, int64_t b_k, char *tile) {
  const td_gemm_kernels *g = j->g;
  int64_t first = k0 == 0, row = m > 1 ? j->c_m[i0 + 1] - j->c_m[i0] : 0;
  bool regular = j->c_step_n == g->size || consecutive(j->c_n + j0, n, g->size);
  for (int64_t i = 2; i < m && regular; ++i) regular = j->c_m[i0 + i] - j->c_m[i0 + i - 1] == row;
  char *out = c + j->c_m[i0] + j->c_n[j0];
  if (!regular) {
    if (!first) exchange_tile(j, c, i0, m, j0, n, tile, false);
    out = tile;
    row = (int64_t)g->nr * g->size;
  }
  if (panel_a)
    g->packed(k, panel_a, td_round_up(g->mr, g->width) * g->size, 0, panel_b, b_k, out, row, m, n, first);
  else {
    td_micro_fn micro = m <= g->thin_mr ? g->thin : g->strided;
    micro(k, a->data + a->off_i[i0] + a->off_k[k0], a->step_k, m > 1 ? a->step_i : 0, panel_b, b_k, out, row, m, n,
          first);
  }
  if (!regular) exchange_tile(j, c, i0, m, j0, n, tile, true);
}

/* Rows [m0, m1) and columns [n0, n1) of one batch. */
static void multiply_block(const job *j, const side *a, const side *b, char *c, int64_t m0, int64_t m1, int64_t n0,
                           int64_t n1, const buffers *buf, int64_t batch) {
  const td_gemm_kernels *g = j->g;
  int64_t rows = m1 - m0, columns = n1 - n0, size = g->size, a_row = td_round_up(g->mr, g->width) * size,
          b_row = (int64_t)g->nr * size;
  bool same = g->dtype == g->panel_dtype;
  bool direct_a = same && a->step_i && a->step_k && (columns <= DIRECT_A_TILES * (int64_t)g->nr || rows <= g->thin_mr);
  bool direct_b = same && b->step_i == size && b->step_k && rows <= DIRECT_B_TILES * (int64_t)g->mr;
  int64_t mr = direct_a && rows <= g->thin_mr ? g->thin_mr : g->mr;
  for (int64_t jc = n0; jc < n1; jc += g->nc) {
    int64_t nc = td_min(g->nc, n1 - jc);
    for (int64_t pc = 0; pc == 0 || pc < j->k; pc += g->kc) {
      int64_t kc = td_min(g->kc, j->k - pc);
      int64_t panel_b = (kc * b_row + 63) & ~INT64_C(63), panel_a = (kc * a_row + 63) & ~INT64_C(63);
      for (int64_t jr = 0; jr < nc; jr += g->nr) {
        int64_t n = td_min(g->nr, nc - jr);
        if (!direct_b || n < g->nr) pack_panel(g, b, jc + jr, n, pc, kc, buf->b + jr / g->nr * panel_b, b_row);
      }
      for (int64_t ic = m0; ic < m1; ic += g->mc) {
        int64_t mc = td_min(g->mc, m1 - ic);
        if (!direct_a)
          for (int64_t ir = 0; ir < mc; ir += mr)
            pack_panel(g, a, ic + ir, td_min(mr, mc - ir), pc, kc, buf->a + ir / mr * panel_a, a_row);
        for (int64_t jr = 0; jr < nc; jr += g->nr) {
          int64_t n = td_min(g->nr, nc - jr);
          bool here = direct_b && n == g->nr;
          const char *from = here ? b->data + b->off_i[jc + jr] + b->off_k[pc] : buf->b + jr / g->nr * panel_b;
          int64_t b_k = here ? b->step_k : b_row;
          for (int64_t ir = 0; ir < mc; ir += mr)
            multiply_tile(j, a, c, ic + ir, td_min(mr, mc - ir), jc + jr, n, pc, kc,
                          direct_a ? NULL : buf->a + ir / mr * panel_a, from, b_k, buf->tile);
        }
        if (j->epilogue && same && pc + kc >= j->k) {
          if (j->swapped)
            td_gemm_run_epilogue(j->epilogue, batch, jc, jc + nc, ic, ic + mc);
          else
            td_gemm_run_epilogue(j->epilogue, batch, ic, ic + mc, jc, jc + nc);
        }
      }
    }
  }
}

/* Half types accumulate in float32 over all of k and are rounded once: the block is computed aside. */
static bool multiply_half(const job *j, const side *a, const side *b, char *c, int64_t m0, int64_t m1, int64_t n0,
                          int64_t n1, const buffers *buf, int64_t batch) {
  int64_t rows = m1 - m0, columns = n1 - n0;
  float *wide = td_alloc((size_t)(rows * columns) * sizeof(float));
  int64_t *at = td_alloc((size_t)(j->m + j->n) * sizeof(int64_t));
  if (wide && at) {
    for (int64_t i = 0; i < j->m; ++i) at[i] = (i - m0) * columns * 4;
    for (int64_t i = 0; i < j->n; ++i) at[j->m + i] = (i - n0) * 4;
    job aside = *j;
    aside.c_m = at;
    aside.c_n = at + j->m;
    aside.c_step_n = 4;
    multiply_block(&aside, a, b, (char *)wide, m0, m1, n0, n1, buf, batch);
    for (int64_t i = m0; i < m1; ++i)
      for (int64_t l = n0; l < n1; ++l) {
        float x = wide[(i - m0) * columns + l - n0];
        uint16_t h = j->g->dtype == TD_F16 ? td_f32_to_f16(x) : td_f32_to_bf16(x);
        memcpy(c + j->c_m[i] + j->c_n[l], &h, 2);
      }
    if (j->epilogue) {
      if (j->swapped)
        td_gemm_run_epilogue(j->epilogue, batch, n0, n1, m0, m1);
      else
        td_gemm_run_epilogue(j->epilogue, batch, m0, m1, n0, n1);
    }
  }
  bool done = wide && at;
  td_free(wide);
  td_free(at);
  return done;
}

static void run_pieces(void *ctx, int64_t begin, int64_t end) {
  job *j = ctx;
  const td_gemm_kernels *g = j->g;
  int64_t kc = td_min(g->kc, j->k), nc = td_min(td_round_up(j->n, g->nr), td_round_up(g->nc, g->nr)),
          mc = td_min(td_round_up(j->m, g->mr), td_round_up(g->mc, g->mr));
  int64_t panel_b = (kc * g->nr * g->size + 63) & ~INT64_C(63),
          panel_a = (kc * td_round_up(g->mr, g->width) * g->size + 63) & ~INT64_C(63);
  int64_t bytes_b = nc / g->nr * panel_b + PACK_SLACK, bytes_a = mc / g->mr * panel_a + PACK_SLACK;
  int64_t bytes_tile = (int64_t)g->mr * g->nr * g->size + PACK_SLACK;
  char *block = td_alloc((size_t)(bytes_a + bytes_b + bytes_tile));
  if (!block) {
    j->failed = 1;
    return;
  }
  buffers buf = {block, block + bytes_a, block + bytes_a + bytes_b};
  for (int64_t piece = begin; piece < end; ++piece) {
    int64_t batch = piece / j->pieces, part = piece % j->pieces;
    side a = j->a, b = j->b;
    a.data += j->batch_a[batch];
    b.data += j->batch_b[batch];
    char *c = j->c + j->batch_c[batch];
    int64_t unit = j->split_m ? g->mr : g->nr, total = j->split_m ? j->m : j->n, units = td_ceil_div(total, unit);
    int64_t low = td_min(units * part / j->pieces * unit, total),
            high = td_min(units * (part + 1) / j->pieces * unit, total);
    if (low == high) continue;
    int64_t m0 = j->split_m ? low : 0, m1 = j->split_m ? high : j->m, n0 = j->split_m ? 0 : low,
            n1 = j->split_m ? j->n : high;
    if (g->dtype == g->panel_dtype)
      multiply_block(j, &a, &b, c, m0, m1, n0, n1, &buf, batch);
    else if (!multiply_half(j, &a, &b, c, m0, m1, n0, n1, &buf, batch))
      j->failed = 1;
  }
  td_free(block);
}

static void plan_threads(job *j) {
  int64_t threads = td_get_num_threads(), work = j->batches * j->m * j->n * td_max(j->k, 1);
  j->pieces = 1;
  if (threads < 2 || work < PARALLEL_WORK || j->batches >= 2 * threads) return;
  int64_t tiles_m = td_ceil_div(j->m, j->g->mr), tiles_n = td_ceil_div(j->n, j->g->nr);
  j->split_m = tiles_m >= tiles_n;
  int64_t tiles = j->split_m ? tiles_m : tiles_n;
  int64_t wanted = td_ceil_div(threads, j->batches) * (work > 64 * PARALLEL_WORK ? 2 : 1);
  j->pieces = td_max(1, td_min(wanted, tiles));
}

td_status td_contract(const td_gemm_kernels *g, char *c, const char *a, const char *b, const td_group *batch,
                      const td_group *m, const td_group *n, const td_group *k, const td_epilogue *epilogue) {
  int64_t sm = td_product(m->sizes, m->ndim), sn = td_product(n->sizes, n->ndim), sk = td_product(k->sizes, k->ndim),
          sb = td_product(batch->sizes, batch->ndim);
  if (!sm || !sn || !sb) return TD_OK;
  int64_t entries = 2 * (sm + sn + sk) + 3 * sb + 8;
  int64_t *table = td_alloc((size_t)entries * sizeof(int64_t));
  if (!table) return td_fail(TD_ERR_MEMORY, "contraction: out of memory for %lld offsets", (long long)entries);
  int64_t *a_m = table, *c_m = a_m + sm, *b_n = c_m + sm, *c_n = b_n + sn, *a_k = c_n + sn, *b_k = a_k + sk + 1,
          *at = b_k + sk + 1;
  fill_offsets(m, m->a, a_m);
  fill_offsets(m, m->c, c_m);
  fill_offsets(n, n->b, b_n);
  fill_offsets(n, n->c, c_n);
  a_k[0] = b_k[0] = 0;
  if (sk) {
    fill_offsets(k, k->a, a_k);
    fill_offsets(k, k->b, b_k);
  }
  job j = {.g = g,
           .c = c,
           .m = sm,
           .n = sn,
           .k = sk,
           .batches = sb,
           .batch_a = at,
           .batch_b = at + sb,
           .batch_c = at + 2 * sb};
  fill_offsets(batch, batch->a, at);
  fill_offsets(batch, batch->b, at + sb);
  fill_offsets(batch, batch->c, at + 2 * sb);
  int64_t element = (int64_t)td_dtype_size((td_dtype)g->dtype);
  j.a = (side){.data = a, .off_i = a_m, .off_k = a_k};
  j.b = (side){.data = b, .off_i = b_n, .off_k = b_k};
  j.c_m = c_m;
  j.c_n = c_n;
  int64_t run_m, run_n, step_m, step_n;
  describe_offsets(c_m, sm, element, &run_m, &step_m);
  describe_offsets(c_n, sn, element, &run_n, &step_n);
  j.c_step_n = step_n;
  /* the micro-kernel's vectors run along columns: these should be many, and consecutive in C */
  if ((step_n != element && step_m == element) || (sn < 8 && sm > sn && (step_m == element || sn * 4 <= g->nr))) {
    side s = j.a;
    j.a = j.b;
    j.b = s;
    j.m = sn;
    j.n = sm;
    j.c_m = c_n;
    j.c_n = c_m;
    j.c_step_n = step_m;
    j.swapped = true;
    const int64_t *t = j.batch_a;
    j.batch_a = j.batch_b;
    j.batch_b = t;
  }
  describe_offsets(j.a.off_i, j.m, element, &j.a.run_i, &j.a.step_i);
  describe_offsets(j.b.off_i, j.n, element, &j.b.run_i, &j.b.step_i);
  if (sk) {
    describe_offsets(j.a.off_k, sk, element, &j.a.run_k, &j.a.step_k);
    describe_offsets(j.b.off_k, sk, element, &j.b.run_k, &j.b.step_k);
  } else {
    j.a.run_k = j.b.run_k = 1;
    j.a.step_k = j.b.step_k = element;
  }
  td_gemm_epilogue prepared;
  if (epilogue) {
    td_gemm_prepare_epilogue(&prepared, epilogue, batch, m, n);
    j.epilogue = &prepared;
  }
  plan_threads(&j);
  td_parallel_for(j.batches * j.pieces, run_pieces, &j);
  td_free(table);
  return td_job_status(j.failed, "contraction");
}

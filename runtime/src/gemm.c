/* Contractions: blocking and threads around the generated micro-kernels. Every output is one accumulator that takes its
   k products in order, so nothing decided here changes a bit of the result. */
#include "gemm.h"

#include "gemm_epilogue.h"
#include "half.h"
#include "internal.h"

#define PARALLEL_WORK (INT64_C(1) << 19) /* multiply-adds below which one thread does it all */
#define FEW_TILES 8                  /* row tiles: a B panel that no more read is not worth packing if it lies well */
#define DIRECT_A_TILES 8             /* the same for A and column tiles */
#define TASK_WORK (INT64_C(1) << 18) /* multiply-adds that are worth handing out */
#define TASKS_PER_THREAD 8
#define PACK_PANELS 8 /* panels packed in one go: long reads, and few enough to stay in the cache */

typedef struct job {
  const td_gemm_kernels *g;
  td_gemm_side a, b;
  char *c;
  int64_t *c_m, *c_n;         /* byte offsets of rows and columns of C */
  int64_t c_step_m, c_step_n; /* the one stride of its columns, 0 if there is none */
  int64_t *wide_m, *wide_n;   /* the same for the float32 block in which half types accumulate, else NULL */
  int64_t m, n, k;
  int64_t batches;
  const int64_t *batch_a, *batch_b, *batch_c;
  bool swapped;            /* rows and columns of the caller are exchanged */
  bool direct_a, direct_b; /* read where they lie */
  bool a_consecutive; /* rows of A lie together: tiles are packed together, for each step of k is far from the next */
  bool by_columns;    /* A is packed for all, tasks are columns; else B, and rows */
  int64_t kc;         /* steps of k at a time */
  int64_t mr;         /* rows of a tile, evenly spread */
  int64_t panel_a, panel_b, own_panel; /* bytes of a packed panel */
  int64_t block_n, chunk, group;       /* columns of a B block; columns and row tiles of a task */
  const td_gemm_epilogue *epilogue;
  int64_t teams, members, parts; /* of rows, for teams of one */
  struct team *team;
} job;

/* Threads that work on the same batches, step by step: a step packs a block of B (packing units), then multiplies all
   rows by it (tasks). Both are numbered through all steps and claimed in order, so who comes late, or never, is not
   waited for: only claimed work is, and who claimed it is running. */
typedef struct team {
  int64_t first_batch, end_batch;
  int64_t m0, m1; /* its rows: all, or no other team has them */
  char *panels, *wide;
  _Atomic int64_t packing, packed, tasks, done;
} team;

/* Byte offsets of every index of a group for one operand, in logical order. */
static void fill_offsets(const td_group *g, const int64_t *strides, int64_t *out) {
  int64_t count = 1;
  out[0] = 0;
  if (g->ndim == 1) {
    int64_t stride = strides ? strides[0] : 0;
    for (int64_t i = 1; i < g->sizes[0]; ++i) out[i] = i * stride;
    return;
  }
  for (int d = 0; d < g->ndim; ++d) { /* each dim multiplies what is there, later dims innermost */
    int64_t size = g->sizes[d], stride = strides ? strides[d] : 0;
    for (int64_t i = count - 1; i >= 0; --i)
      for (int64_t j = size - 1; j >= 0; --j) out[i * size + j] = out[i] + j * stride;
    count *= size;
  }
}

static bool consecutive(const int64_t *off, int64_t count, int64_t size) {
  if (off[count - 1] - off[0] != (count - 1) * size) return false;
  for (int64_t i = 1; i < count; ++i)
    if (off[i] - off[i - 1] != size) return false;
  return true;
}

/* Where a step's results go: the operand itself, or the wide block. */
typedef struct target {
  char *c;
  const int64_t *m, *n;
  int64_t step_m, step_n;
} target;

/* A tile whose rows or columns do not lie as the micro-kernel wants goes through `tile` [mr][nr], run by run. */
static void exchange_tile(const job *j, const target *c, int64_t i0, int64_t m, int64_t j0, int64_t n, char *tile,
                          bool store) {
  int64_t size = j->g->size, row = (int64_t)j->g->nr * size;
  for (int64_t l = 0; l < n;) {
    int64_t count = 1;
    while (l + count < n && c->n[j0 + l + count] - c->n[j0 + l + count - 1] == size) ++count;
    for (int64_t i = 0; i < m; ++i) {
      char *outside = c->c + c->m[i0 + i] + c->n[j0 + l], *inside = tile + i * row + l * size;
      memcpy(store ? outside : inside, store ? inside : outside, (size_t)(count * size));
    }
    l += count;
  }
}

/* Rounds finished elements of the wide block. */
static void narrow(const job *j, char *c, const char *wide, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  for (int64_t i = m0; i < m1; ++i)
    for (int64_t l = n0; l < n1; ++l) {
      float x;
      memcpy(&x, wide + j->wide_m[i] + j->wide_n[l], 4);
      uint16_t h = j->g->dtype == TD_F16 ? td_f32_to_f16(x) : td_f32_to_bf16(x);
      memcpy(c + j->c_m[i] + j->c_n[l], &h, 2);
    }
}

typedef struct step { /* one batch, columns jc.., steps pc.. of k */
  int64_t batch, jc, nc, pc, kc;
  td_gemm_side a, b;
  char *c; /* of this batch */
  target to;
} step;

static void prefetch_tile(const target *c, int64_t i0, int64_t m, int64_t j0) {
  for (int64_t r = 0; r < m; ++r) {
    const char *at = c->c + c->m[i0 + r] + c->n[j0];
    __builtin_prefetch(at, 1);
    __builtin_prefetch(at + 64, 1);
  }
}

/* Where a row tile of A and a column tile of B are read, and how far apart their steps are. */
typedef struct source {
  const char *data;
  int64_t k, row;
} source;

static void multiply_tile(const job *j, const step *s, int64_t i0, int64_t m, int64_t j0, int64_t n, source a, source b,
                          char *tile) {
  const td_gemm_kernels *g = j->g;
  const target *c = &s->to;
  int64_t row = m > 1 ? c->m[i0 + 1] - c->m[i0] : 0, first = s->pc == 0;
  bool regular = c->step_n == g->size || consecutive(c->n + j0, n, g->size);
  for (int64_t i = 2; i < m && regular && !c->step_m; ++i) regular = c->m[i0 + i] - c->m[i0 + i - 1] == row;
  char *out = c->c + c->m[i0] + c->n[j0];
  if (!regular) {
    if (!first) exchange_tile(j, c, i0, m, j0, n, tile, false);
    out = tile;
    row = (int64_t)g->nr * g->size;
  }
  td_micro_fn micro = (j->direct_a ? g->strided : g->packed)[(m - 1) / 2];
  micro(s->kc, a.data, a.k, a.row, b.data, b.k, out, row, m, n, first);
  if (!regular) exchange_tile(j, c, i0, m, j0, n, tile, true);
}

static source read_a(const job *j, const step *s, int64_t i, const char *packed) {
  if (j->direct_a) return (source){s->a.data + s->a.off_i[i] + s->a.off_k[s->pc], s->a.step_k, s->a.step_i};
  return (source){packed, td_round_up(j->g->mr, j->g->width) * j->g->size, 0};
}

static bool lies_ready(const job *j, int64_t n) { return j->direct_b && n == j->g->nr; }

static source read_b(const job *j, const step *s, int64_t l, int64_t n, const char *packed) {
  if (lies_ready(j, n)) return (source){s->b.data + s->b.off_i[l] + s->b.off_k[s->pc], s->b.step_k, 0};
  return (source){packed, (int64_t)j->g->nr * j->g->size, 0};
}

static void pack_a(const job *j, const step *s, int64_t i, int64_t m, char *to) {
  td_gemm_pack(j->g, &s->a, i, m, s->pc, s->kc, to, td_round_up(j->g->mr, j->g->width));
}

/* Row tiles one after the other, each with every column of the packed block. */
static void multiply_rows(const job *j, const step *s, const char *panels, int64_t m0, int64_t m1, int64_t n0,
                          int64_t n1, char *own) {
  bool together = !j->direct_a && j->a_consecutive;
  if (together) td_gemm_pack_tiles(j->g, &s->a, m0, m1 - m0, j->mr, s->pc, s->kc, own, j->panel_a);
  for (int64_t i = m0; i < m1; i += j->mr) {
    int64_t m = td_min(j->mr, m1 - i);
    char *panel = together ? own + (i - m0) / j->mr * j->panel_a : own;
    if (!j->direct_a && !together) pack_a(j, s, i, m, panel);
    source a = read_a(j, s, i, panel);
    for (int64_t l = n0; l < n1; l += j->g->nr) {
      int64_t n = td_min(j->g->nr, n1 - l);
      source b = read_b(j, s, l, n, panels + (l - s->jc) / j->g->nr * j->panel_b);
      if (l + j->g->nr < n1) prefetch_tile(&s->to, i, m, l + j->g->nr);
      multiply_tile(j, s, i, m, l, n, a, b, own + j->own_panel);
    }
  }
}

/* Column tiles one after the other, each with every row: B's panel never leaves the nearest cache. */
static void multiply_columns(const job *j, const step *s, const char *panels, int64_t m0, int64_t m1, int64_t n0,
                             int64_t n1, char *own) {
  for (int64_t l = n0; l < n1; l += j->g->nr) {
    int64_t n = td_min(j->g->nr, n1 - l);
    if (!lies_ready(j, n)) td_gemm_pack_panels(j->g, &s->b, l, n, s->pc, s->kc, own, j->panel_b);
    source b = read_b(j, s, l, n, own);
    for (int64_t i = m0; i < m1; i += j->mr) {
      int64_t m = td_min(j->mr, m1 - i), next = i + j->mr;
      if (next < m1)
        prefetch_tile(&s->to, next, td_min(j->mr, m1 - next), l);
      else if (l + j->g->nr < n1)
        prefetch_tile(&s->to, m0, td_min(j->mr, m1 - m0), l + j->g->nr);
      source a = read_a(j, s, i, panels + (i - m0) / j->mr * j->panel_a);
      multiply_tile(j, s, i, m, l, n, a, b, own + j->own_panel);
    }
  }
}

/* Rows [m0, m1) and columns [n0, n1), the latter within the step's block. */
static void run_task(const job *j, const step *s, const char *panels, int64_t m0, int64_t m1, int64_t n0, int64_t n1,
                     char *own) {
  if (j->by_columns)
    multiply_columns(j, s, panels, m0, m1, n0, n1, own);
  else
    multiply_rows(j, s, panels, m0, m1, n0, n1, own);
  if (s->pc + s->kc < j->k) return;
  if (j->wide_m) narrow(j, s->c, s->to.c, m0, m1, n0, n1);
  if (!j->epilogue) return;
  if (j->swapped)
    td_gemm_run_epilogue(j->epilogue, s->batch, n0, n1, m0, m1);
  else
    td_gemm_run_epilogue(j->epilogue, s->batch, m0, m1, n0, n1);
}

static int64_t claim(_Atomic int64_t *next, int64_t end) {
  int64_t at = atomic_load_explicit(next, memory_order_relaxed);
  while (at < end)
    if (atomic_compare_exchange_weak(next, &at, at + 1)) return at;
  return -1;
}

static void wait_for(_Atomic int64_t *count, int64_t end) {
  for (int spins = 0; atomic_load_explicit(count, memory_order_acquire) < end; ++spins) td_wait(spins);
}

/* Packs what all tasks of a step read: A's row tiles, or the block of B. */
static void pack_step(const job *j, team *t, const step *s, int64_t *packed) {
  const td_gemm_kernels *g = j->g;
  int64_t panels = td_min(PACK_PANELS, s->nc / (2 * j->members * g->nr)); /* enough units for every thread */
  int64_t first = *packed, unit = td_max(1, panels) * g->nr;
  int64_t whole = j->direct_b ? s->nc / g->nr * g->nr : 0; /* columns that need no packing */
  if (!j->by_columns)
    *packed += td_ceil_div(s->nc - whole, unit);
  else if (!j->direct_a)
    *packed += td_ceil_div(t->m1 - t->m0, j->mr);
  for (int64_t u; (u = claim(&t->packing, *packed)) >= 0;) {
    if (j->by_columns) {
      int64_t i = t->m0 + (u - first) * j->mr;
      pack_a(j, s, i, td_min(j->mr, t->m1 - i), t->panels + (u - first) * j->panel_a);
    } else {
      int64_t at = whole + (u - first) * unit;
      td_gemm_pack_panels(g, &s->b, s->jc + at, td_min(unit, s->nc - at), s->pc, s->kc,
                          t->panels + at / g->nr * j->panel_b, j->panel_b);
    }
    atomic_fetch_add_explicit(&t->packed, 1, memory_order_release);
  }
}

static void run_step(const job *j, team *t, const step *s, int64_t *packed, int64_t *done, char *own) {
  wait_for(&t->done, *done); /* the panels are free, and the sums so far are stored */
  pack_step(j, t, s, packed);
  wait_for(&t->packed, *packed);
  int64_t chunks = td_ceil_div(s->nc, j->chunk), rows = j->group * j->mr;
  int64_t first = *done;
  *done += chunks * td_ceil_div(t->m1 - t->m0, rows);
  for (int64_t u; (u = claim(&t->tasks, *done)) >= 0;) {
    int64_t i = t->m0 + (u - first) / chunks * rows, l = s->jc + (u - first) % chunks * j->chunk;
    run_task(j, s, t->panels, i, td_min(t->m1, i + rows), l, td_min(s->jc + s->nc, l + j->chunk), own);
    atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
  }
}

static void take_part(const job *j, team *t) {
  const td_gemm_kernels *g = j->g;
  char *own = td_alloc((size_t)(j->own_panel + (int64_t)g->mr * g->nr * g->size));
  if (!own) return; /* the others do it; td_contract sees when nobody did */
  int64_t packed = 0, done = 0;
  for (int64_t batch = t->first_batch; batch < t->end_batch; ++batch) {
    step s = {.batch = batch, .a = j->a, .b = j->b, .c = j->c + j->batch_c[batch]};
    s.a.data += j->batch_a[batch];
    s.b.data += j->batch_b[batch];
    s.to = j->wide_m ? (target){t->wide, j->wide_m, j->wide_n, j->n * 4, 4}
                     : (target){s.c, j->c_m, j->c_n, j->c_step_m, j->c_step_n};
    for (s.jc = 0; s.jc < j->n; s.jc += j->block_n) {
      s.nc = td_min(j->block_n, j->n - s.jc);
      for (s.pc = 0; s.pc == 0 || s.pc < j->k; s.pc += j->kc) {
        s.kc = td_min(j->kc, j->k - s.pc);
        run_step(j, t, &s, &packed, &done, own);
      }
    }
  }
  wait_for(&t->done, done);
  td_free(own);
}

static void run_members(void *ctx, int64_t begin, int64_t end) {
  job *j = ctx;
  for (int64_t i = begin; i < end; ++i) take_part(j, &j->team[i / j->members]);
}

/* How the work is cut: many batches go to teams of one, few to one team of all threads; of a small result with a long
   k, whose steps would be too short to share, each team of one makes some rows. */
static void plan(job *j) {
  const td_gemm_kernels *g = j->g;
  bool same = g->dtype == g->panel_dtype;
  int64_t tiles_a = j->a.step_k == g->size ? DIRECT_A_TILES : 1; /* few lines to read for many steps, or many */
  j->direct_a = same && j->a.step_i && j->a.step_k && (j->n <= tiles_a * g->nr || j->m <= 2);
  j->direct_b = same && j->b.step_i == g->size && j->b.step_k && j->m <= FEW_TILES * (int64_t)g->mr;
  int64_t kc = td_ceil_div(j->k, td_max(1, td_ceil_div(j->k, g->kc))); /* equal steps */
  j->kc = td_max(1, kc);
  j->panel_b = td_round_up(kc * g->nr * g->size, 64);
  j->panel_a = td_round_up(kc * td_round_up(g->mr, g->width) * g->size, 64);
  int64_t threads = td_get_num_threads(), work = j->batches * j->m * j->n * td_max(j->k, 1);
  if (work < PARALLEL_WORK) threads = 1;
  bool alone = threads == 1 || j->batches >= 2 * threads;
  j->teams = alone ? td_min(j->batches, threads == 1 ? 1 : 4 * threads) : 1;
  j->members = alone ? 1 : threads;
  int64_t tiles = td_ceil_div(j->m, g->mr), columns = td_ceil_div(j->n, g->nr);
  j->mr = td_round_up(td_ceil_div(j->m, tiles), 2);
  j->by_columns = tiles <= FEW_TILES;
  j->parts = 1;
  if (!alone && tiles >= 2 && j->k > 2 * g->kc && tiles * columns < TASKS_PER_THREAD * threads) {
    j->parts = td_min(threads, tiles);
    j->teams = j->batches * j->parts;
    j->members = 1;
  }
  int64_t most = td_max(4, (int64_t)g->nc * g->kc / j->kc / g->nr); /* columns that fit the cache */
  j->block_n = j->by_columns ? columns * g->nr : td_ceil_div(columns, td_ceil_div(columns, most)) * g->nr;
  int64_t panel_work = td_max(1, td_max(kc, 1) * (j->by_columns ? j->m * g->nr : j->mr * j->block_n));
  int64_t panels = j->by_columns ? columns : tiles; /* each thread should get some, none too small */
  j->a_consecutive = same && j->a.step_i == g->size && !j->by_columns;
  /* Neighbouring columns share cache lines of C at their border: long tasks keep threads apart. */
  int64_t group = td_max(1, panels / (TASKS_PER_THREAD / (j->a_consecutive ? 2 : 1) * j->members));
  if (!j->by_columns) group = td_min(group, j->a_consecutive ? PACK_PANELS : td_max(1, TASK_WORK / panel_work));
  j->own_panel = j->by_columns ? j->panel_b : j->a_consecutive ? j->panel_a * group : j->panel_a;
  if (j->by_columns) {
    j->group = tiles;
    j->chunk = group * g->nr;
  } else {
    int64_t wanted = alone ? 1 : td_ceil_div(TASKS_PER_THREAD * threads, tiles);
    j->group = group;
    j->chunk = td_round_up(td_ceil_div(j->block_n, wanted), g->nr);
  }
}

static bool run_teams(job *j) {
  size_t panels =
      (size_t)(j->by_columns ? td_ceil_div(j->m, j->mr) * j->panel_a : td_ceil_div(j->block_n, j->g->nr) * j->panel_b);
  size_t wide = j->wide_m ? (size_t)(j->m * j->n * 4) : 0;
  int64_t tiles = td_ceil_div(j->m, j->mr);
  bool whole = true;
  j->team = td_alloc((size_t)j->teams * sizeof(team));
  if (!j->team) return false;
  for (int64_t i = 0; i < j->teams; ++i) {
    team *t = &j->team[i];
    int64_t groups = j->teams / j->parts, group = i / j->parts, part = i % j->parts;
    *t = (team){.first_batch = j->batches * group / groups, .end_batch = j->batches * (group + 1) / groups};
    t->m0 = td_min(j->m, tiles * part / j->parts * j->mr);
    t->m1 = td_min(j->m, tiles * (part + 1) / j->parts * j->mr);
    t->panels = td_alloc(panels);
    if (wide) t->wide = td_alloc(wide);
    whole = whole && t->panels && (!wide || t->wide);
  }
  if (whole) td_parallel_for(j->teams * j->members, run_members, j);
  for (int64_t i = 0; i < j->teams; ++i) {
    team *t = &j->team[i];
    whole = whole && (t->done || t->m0 == t->m1);
    td_free(t->panels);
    td_free(t->wide);
  }
  td_free(j->team);
  return whole;
}

td_status td_contract(const td_gemm_kernels *g, char *c, const char *a, const char *b, const td_group *batch,
                      const td_group *m, const td_group *n, const td_group *k, const td_epilogue *epilogue) {
  int64_t sm = td_product(m->sizes, m->ndim), sn = td_product(n->sizes, n->ndim), sk = td_product(k->sizes, k->ndim),
          sb = td_product(batch->sizes, batch->ndim);
  if (!sm || !sn || !sb) return TD_OK;
  bool half = g->dtype != g->panel_dtype;
  int64_t entries = 2 * (sm + sn + sk) + 3 * sb + 8 + (half ? sm + sn : 0);
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
  j.a = (td_gemm_side){.data = a, .off_i = a_m, .off_k = a_k};
  j.b = (td_gemm_side){.data = b, .off_i = b_n, .off_k = b_k};
  j.c_m = c_m;
  j.c_n = c_n;
  int64_t run_m, run_n, step_m, step_n;
  td_gemm_describe(c_m, sm, element, &run_m, &step_m);
  td_gemm_describe(c_n, sn, element, &run_n, &step_n);
  j.c_step_m = step_m;
  j.c_step_n = step_n;
  /* the micro-kernel's vectors run along columns: these should be many, and consecutive in C */
  if ((step_n != element && step_m == element) || (sn < 8 && sm > sn && (step_m == element || sn * 4 <= g->nr))) {
    td_gemm_side s = j.a;
    j.a = j.b;
    j.b = s;
    j.m = sn;
    j.n = sm;
    j.c_m = c_n;
    j.c_n = c_m;
    j.c_step_m = step_n;
    j.c_step_n = step_m;
    j.swapped = true;
    const int64_t *t = j.batch_a;
    j.batch_a = j.batch_b;
    j.batch_b = t;
  }
  td_gemm_describe(j.a.off_i, j.m, element, &j.a.run_i, &j.a.step_i);
  td_gemm_describe(j.b.off_i, j.n, element, &j.b.run_i, &j.b.step_i);
  if (sk) {
    td_gemm_describe(j.a.off_k, sk, element, &j.a.run_k, &j.a.step_k);
    td_gemm_describe(j.b.off_k, sk, element, &j.b.run_k, &j.b.step_k);
  } else {
    j.a.run_k = j.b.run_k = 1;
    j.a.step_k = j.b.step_k = element;
  }
  td_gemm_epilogue prepared;
  if (epilogue) {
    td_gemm_prepare_epilogue(&prepared, epilogue, batch, m, n);
    j.epilogue = &prepared;
  }
  if (half) {
    j.wide_m = at + 3 * sb;
    j.wide_n = j.wide_m + j.m;
    for (int64_t i = 0; i < j.m; ++i) j.wide_m[i] = i * j.n * 4;
    for (int64_t i = 0; i < j.n; ++i) j.wide_n[i] = i * 4;
  }
  plan(&j);
  bool done = run_teams(&j);
  td_free(table);
  return td_job_status(!done, "contraction");
}

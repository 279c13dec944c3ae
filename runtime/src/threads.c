/* The thread pool behind td_parallel_for.

   One job at a time. Workers and the caller take block numbers from one counter. A worker enters a job through `gate`,
   which counts those inside and is closed when the caller has seen the last block handed out; a worker that comes late
   finds it closed and never looks at the job. So the caller waits only for workers that really took part. Between jobs
   a worker watches `epoch` for a moment (a wake-up through the kernel costs more than most jobs), then sleeps. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "internal.h"

#ifdef TD_NO_THREADS

void td_parallel_for(int64_t blocks, td_block_fn fn, void *ctx) {
  if (blocks > 0) fn(ctx, 0, blocks);
}
void td_set_num_threads(int n) { (void)n; }
int td_get_num_threads(void) { return 1; }
int td_thread_index(void) { return 0; }
void td_wait(int turns) { (void)turns; }

#else
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 256, SPIN_NS = 40000 };
#define CLOSED 0x80000000u  /* gate: nobody may enter */
#define WAITING 0x40000000u /* gate: the caller sleeps until the last one leaves */
#define INSIDE 0x3fffffffu  /* gate: how many are in the job */

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t wake, done;
  pthread_t ids[MAX_THREADS];
  int started;       /* workers that exist; only who holds `busy` changes it */
  atomic_int wanted; /* threads to use, the caller included; 0: not known yet */
  atomic_bool busy, stop;
  atomic_int sleepers;
  td_block_fn fn; /* the job */
  void *ctx;
  int64_t blocks, grain;
  _Alignas(64) atomic_uint epoch;
  _Alignas(64) atomic_uint gate;
  _Alignas(64) _Atomic int64_t next;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER,
          .gate = CLOSED};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local int thread_index;
static _Thread_local bool in_job;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

void td_wait(int turns) {
  if (turns % 256 == 255)
    sched_yield(); /* whom we wait for may have no CPU */
  else
    relax();
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* CPUs that this process may run on. */
static int cpu_count(void) {
  long n = 0;
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
  if (n < 1) n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

static void before_fork(void) { pthread_mutex_lock(&pool.mutex); }
static void after_fork_parent(void) { pthread_mutex_unlock(&pool.mutex); }
static void after_fork_child(void) { /* none of the workers came along, and a job of another thread never ends here */
  pthread_mutex_init(&pool.mutex, NULL);
  pthread_cond_init(&pool.wake, NULL);
  pthread_cond_init(&pool.done, NULL);
  pool.started = 0;
  atomic_store(&pool.busy, false);
  atomic_store(&pool.sleepers, 0);
  atomic_store(&pool.gate, CLOSED);
}

static void set_up(void) {
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
  const char *text = getenv("TAEDA_NUM_THREADS");
  long n = text ? strtol(text, NULL, 10) : 0;
  int unknown = 0;
  atomic_compare_exchange_strong(&pool.wanted, &unknown, n < 1 ? cpu_count() : n > MAX_THREADS ? MAX_THREADS : (int)n);
}

static bool enter(int index) {
  if (index >= atomic_load_explicit(&pool.wanted, memory_order_relaxed)) return false;
  unsigned gate = atomic_load_explicit(&pool.gate, memory_order_relaxed);
  do {
    if (gate & CLOSED) return false;
  } while (
      !atomic_compare_exchange_weak_explicit(&pool.gate, &gate, gate + 1, memory_order_acq_rel, memory_order_relaxed));
  return true;
}

static void leave(void) {
  if (atomic_fetch_sub_explicit(&pool.gate, 1, memory_order_acq_rel) - 1 == (CLOSED | WAITING)) {
    pthread_mutex_lock(&pool.mutex);
    pthread_cond_broadcast(&pool.done);
    pthread_mutex_unlock(&pool.mutex);
  }
}

static void run_blocks(void) {
  int64_t grain = pool.grain, blocks = pool.blocks;
  for (;;) {
    int64_t begin = atomic_fetch_add_explicit(&pool.next, grain, memory_order_relaxed);
    if (begin >= blocks) return;
    pool.fn(pool.ctx, begin, td_min(begin + grain, blocks));
  }
}

/* Spins until (*word == value) is `equal`; false if that takes longer than SPIN_NS. */
static bool spin(atomic_uint *word, unsigned value, bool equal) {
  for (int64_t end = 0;;) {
    for (int i = 0; i < 32; ++i) {
      if ((atomic_load_explicit(word, memory_order_acquire) == value) == equal) return true;
      relax();
    }
    int64_t now = now_ns();
    if (!end)
      end = now + SPIN_NS;
    else if (now > end)
      return false;
  }
}

static void wait_for_job(unsigned seen) {
  if (spin(&pool.epoch, seen, false)) return;
  pthread_mutex_lock(&pool.mutex);
  atomic_fetch_add(&pool.sleepers, 1);
  while (atomic_load(&pool.epoch) == seen) pthread_cond_wait(&pool.wake, &pool.mutex);
  atomic_fetch_sub(&pool.sleepers, 1);
  pthread_mutex_unlock(&pool.mutex);
}

static void *work(void *index) {
  thread_index = (int)(intptr_t)index;
  in_job = true;
  for (;;) {
    unsigned seen = atomic_load_explicit(&pool.epoch, memory_order_acquire);
    if (atomic_load_explicit(&pool.stop, memory_order_relaxed)) return NULL;
    if (enter(thread_index)) {
      run_blocks();
      leave();
    }
    wait_for_job(seen);
  }
}

/* Tells the workers that something has changed, and wakes up to `helpers` of those that sleep. */
static void announce(int64_t helpers) {
  atomic_fetch_add(&pool.epoch, 1);
  int sleepers = atomic_load(&pool.sleepers);
  if (sleepers == 0) return;
  pthread_mutex_lock(&pool.mutex);
  if (helpers >= sleepers)
    pthread_cond_broadcast(&pool.wake);
  else
    for (; helpers > 0; --helpers) pthread_cond_signal(&pool.wake);
  pthread_mutex_unlock(&pool.mutex);
}

/* At exit, and when the library is unloaded, no thread may still be in its code. */
__attribute__((destructor)) static void stop_workers(void) {
  if (thread_index != 0 || pool.started == 0) return;
  atomic_store(&pool.stop, true);
  announce(MAX_THREADS);
  for (int i = 0; i < pool.started; ++i) pthread_join(pool.ids[i], NULL);
  pool.started = 0;
}

static void start_workers(int count) {
  while (pool.started < count && !atomic_load(&pool.stop)) {
    /* A system that has no thread left to give is no error: fewer workers do the same blocks. */
    if (pthread_create(&pool.ids[pool.started], NULL, work, (void *)(intptr_t)(pool.started + 1))) break;
    ++pool.started;
  }
}

static void run_job(int64_t blocks, td_block_fn fn, void *ctx, int threads) {
  start_workers(threads - 1);
  pool.fn = fn;
  pool.ctx = ctx;
  pool.blocks = blocks;
  pool.grain = td_max(1, blocks / (16 * (int64_t)threads));
  atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.gate, 0, memory_order_release);
  /* Where more workers exist than are wanted, a wake-up may hit one that stays out: wake all. */
  announce(pool.started > threads - 1 ? MAX_THREADS : blocks - 1);
  in_job = true;
  run_blocks();
  in_job = false;
  if ((atomic_fetch_or(&pool.gate, CLOSED) & INSIDE) == 0 || spin(&pool.gate, CLOSED, true)) return;
  pthread_mutex_lock(&pool.mutex);
  atomic_fetch_or(&pool.gate, WAITING);
  while (atomic_load(&pool.gate) & INSIDE) pthread_cond_wait(&pool.done, &pool.mutex);
  pthread_mutex_unlock(&pool.mutex);
}

void td_parallel_for(int64_t blocks, td_block_fn fn, void *ctx) {
  if (blocks <= 0) return;
  if (blocks == 1 || in_job) {
    fn(ctx, 0, blocks);
    return;
  }
  int threads = td_get_num_threads();
  if (threads == 1 || atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) {
    fn(ctx, 0, blocks);
    return;
  }
  run_job(blocks, fn, ctx, threads);
  atomic_store_explicit(&pool.busy, false, memory_order_release);
}

void td_set_num_threads(int n) {
  atomic_store(&pool.wanted, n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n);
  pthread_once(&once, set_up);
}

int td_get_num_threads(void) {
  int n = atomic_load_explicit(&pool.wanted, memory_order_relaxed);
  if (n) return n;
  pthread_once(&once, set_up);
  return atomic_load(&pool.wanted);
}

int td_thread_index(void) { return thread_index; }
#endif

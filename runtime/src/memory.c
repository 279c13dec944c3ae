/* The caching allocator.

   Every block has a 64-byte header in front of its 64-byte aligned data. Sizes are rounded up to classes: multiples of
   64 bytes up to 1 KiB, then eight classes a doubling (at most 12.5 % more than asked for). Blocks up to 64 KiB are
   kept in free lists of the thread that freed them (no lock, no atomic read-modify-write); lists that grow long are
   emptied into a shared pool. Larger blocks live in one locked pool, because fresh pages cost more than the arithmetic
   on them; that pool gives its oldest blocks back as soon as the process would hold clearly more than it ever used at
   one time. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#ifndef TD_NO_THREADS
#include <pthread.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define HAVE_MMAP 1
static const size_t MAP_BYTES = 1024 * 1024; /* blocks of this size and more are mapped, not taken from malloc */
static const size_t HUGE_PAGE = 2 * 1024 * 1024;
#endif
#ifdef _WIN32
#include <malloc.h>
#define aligned_alloc(align, bytes) _aligned_malloc(bytes, align)
#define free_aligned _aligned_free
#else
#define free_aligned free
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CHECK_ADDRESSES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECK_ADDRESSES 1
#endif
#endif
#ifdef CHECK_ADDRESSES /* a cached block is poisoned, so that a use after free is still found */
#include <sanitizer/asan_interface.h>
#define POISON(p, n) __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum {
  HEADER = 64,
  SMALL_CLASSES = 64,    /* up to 64 KiB */
  CLASSES = 16 + 8 * 37, /* up to 2^47 bytes */
  BATCH = 8,             /* blocks that move between a thread and the shared pool at a time */
};
static const size_t THREAD_LIST_BYTES =
    256 * 1024; /* one size class of one thread keeps about this much, 16 blocks at least */
static const uint64_t SPARE_BYTES = 64 * 1024 * 1024;
static const uint32_t LIVE = 0x7aeda11cu, IDLE = 0x7aedaf4eu;

typedef struct block {
  uint32_t state, class;
  size_t mapped;                 /* bytes of the mapping, 0: from malloc */
  struct block *next, *previous; /* of the free list */
  struct block *newer, *older;   /* of all cached large blocks */
} block;
_Static_assert(sizeof(block) <= HEADER, "the header fits in front of the data");

typedef struct list {
  block *first;
  uint32_t count;
} list;

/* Counters that only their owner writes; others read them. */
typedef struct thread_cache {
  list lists[SMALL_CLASSES];
  _Atomic int64_t in_use, cached; /* bytes, since the last time they were added to the pool's */
  _Atomic uint64_t calls;
  struct thread_cache *next, *previous;
} thread_cache;

static struct {
  list lists[CLASSES];
  block *newest, *oldest;
  thread_cache *threads;
  int64_t in_use, cached, peak, high_water;
  uint64_t calls, system_calls;
} pool;

#ifdef TD_NO_THREADS
static void lock_pool(void) {}
static void unlock_pool(void) {}
#else
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static void lock_pool(void) { pthread_mutex_lock(&pool_mutex); }
static void unlock_pool(void) { pthread_mutex_unlock(&pool_mutex); }
static void end_thread(void *cache);
static void set_up(void) {
  pthread_key_create(&thread_key, end_thread);
  pthread_atfork(lock_pool, unlock_pool, unlock_pool); /* a child never inherits a half-changed list */
}
/* After an unload no ending thread may call end_thread. */
__attribute__((destructor)) static void tear_down(void) {
  pthread_once(&once, set_up);
  pthread_key_delete(thread_key);
}
#endif
static TD_THREAD_LOCAL thread_cache *mine;
static TD_THREAD_LOCAL bool thread_ended;

static unsigned class_of(size_t nbytes) {
  if (nbytes <= 1024) return nbytes ? (unsigned)((nbytes - 1) / 64) : 0;
  uint64_t last = (uint64_t)nbytes - 1;
  unsigned doubling = 63u - (unsigned)__builtin_clzll(last);
  return 16 + 8 * (doubling - 10) + (unsigned)((last >> (doubling - 3)) & 7);
}

static size_t class_bytes(unsigned class) {
  if (class < 16) return 64 * ((size_t)class + 1);
  return ((size_t)(9 + (class & 7))) << (7 + (class - 16) / 8);
}

static uint32_t thread_list_limit(size_t bytes) {
  size_t fits = THREAD_LIST_BYTES / bytes;
  return fits < 2 * BATCH ? 2 * BATCH : fits > 512 ? 512 : (uint32_t)fits;
}

static void push(list *l, block *b) {
  b->next = l->first;
  l->first = b;
  ++l->count;
}

static block *pop(list *l) {
  block *b = l->first;
  l->first = b->next;
  --l->count;
  return b;
}

static inline char *data_of(block *b) { return (char *)b + HEADER; }

static inline char *hand_out(block *b) {
  b->state = LIVE;
  UNPOISON(data_of(b), class_bytes(b->class));
  return data_of(b);
}

/* ---- the system ---- */

static block *from_system(unsigned class) {
#ifndef TD_NO_THREADS
  pthread_once(&once, set_up);
#endif
  size_t bytes = HEADER + class_bytes(class);
  block *b = NULL;
  size_t mapped = 0;
#ifdef HAVE_MMAP
  if (bytes >= MAP_BYTES) {
    /* Aligned to a huge page where that is worth it: only whole aligned ones can be used. */
    size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 0;
    mapped = (bytes + 65535) & ~(size_t)65535; /* a multiple of any page size */
    char *p = mmap(NULL, mapped + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (align) {
      size_t before = (align - ((uintptr_t)p & (align - 1))) & (align - 1);
      if (before) munmap(p, before);
      if (align != before) munmap(p + before + mapped, align - before);
      p += before;
    }
#ifdef MADV_HUGEPAGE
    if (bytes >= HUGE_PAGE) madvise(p, mapped, MADV_HUGEPAGE);
#endif
    b = (block *)p;
  }
#endif
  if (!b) b = aligned_alloc(64, bytes);
  if (!b) return NULL;
  *b = (block){.class = class, .mapped = mapped};
  return b;
}

static void to_system(block *b) {
  UNPOISON(data_of(b), class_bytes(b->class));
#ifdef HAVE_MMAP
  if (b->mapped) {
    munmap(b, b->mapped);
    return;
  }
#endif
  free_aligned(b);
}

/* ---- the shared pool; all of these are called with its lock held ---- */

static void count_in_use(int64_t bytes) {
  pool.in_use += bytes;
  if (pool.in_use > pool.peak) pool.peak = pool.in_use;
  if (pool.in_use > pool.high_water) pool.high_water = pool.in_use;
}

static void take_counters(thread_cache *t) {
  int64_t in_use = atomic_load_explicit(&t->in_use, memory_order_relaxed);
  int64_t cached = atomic_load_explicit(&t->cached, memory_order_relaxed);
  atomic_store_explicit(&t->in_use, 0, memory_order_relaxed);
  atomic_store_explicit(&t->cached, 0, memory_order_relaxed);
  pool.cached += cached;
  count_in_use(in_use);
}

static void cache_large(block *b) {
  list *l = &pool.lists[b->class];
  b->previous = NULL;
  if (l->first) l->first->previous = b;
  push(l, b);
  b->newer = NULL;
  b->older = pool.newest;
  if (pool.newest) pool.newest->newer = b;
  pool.newest = b;
  if (!pool.oldest) pool.oldest = b;
  pool.cached += (int64_t)class_bytes(b->class);
}

static void uncache_large(block *b) {
  list *l = &pool.lists[b->class];
  *(b->previous ? &b->previous->next : &l->first) = b->next;
  if (b->next) b->next->previous = b->previous;
  --l->count;
  *(b->newer ? &b->newer->older : &pool.newest) = b->older;
  *(b->older ? &b->older->newer : &pool.oldest) = b->newer;
  pool.cached -= (int64_t)class_bytes(b->class);
}

/* Cuts blocks off the pool until what it holds is within what the process has used at one time, plus an eighth and
   some. Returns them as a chain: giving them back takes long and is done without the lock. */
static block *excess_for(int64_t bytes) {
  block *chain = NULL;
  int64_t used = pool.in_use + bytes > pool.high_water ? pool.in_use + bytes : pool.high_water;
  int64_t limit = used + used / 8 + (int64_t)SPARE_BYTES;
  while (pool.oldest && pool.in_use + pool.cached + bytes > limit) {
    block *b = pool.oldest;
    uncache_large(b);
    b->next = chain;
    chain = b;
  }
  return chain;
}

static void release_chain(block *chain) {
  while (chain) {
    block *next = chain->next;
    to_system(chain);
    chain = next;
  }
}

/* ---- threads ---- */

/* Moves all but `keep` blocks of a thread's list to the pool. */
static void empty_list(thread_cache *t, unsigned class, uint32_t keep) {
  while (t->lists[class].count > keep) push(&pool.lists[class], pop(&t->lists[class]));
}

#ifndef TD_NO_THREADS
static void end_thread(void *cache) {
  thread_cache *t = cache;
  lock_pool();
  take_counters(t);
  pool.calls += atomic_load_explicit(&t->calls, memory_order_relaxed);
  for (unsigned c = 0; c < SMALL_CLASSES; ++c) empty_list(t, c, 0);
  *(t->previous ? &t->previous->next : &pool.threads) = t->next;
  if (t->next) t->next->previous = t->previous;
  unlock_pool();
  mine = NULL;
  thread_ended = true;
  free(t);
}
#endif

/* The calling thread's cache; NULL while the thread is ending, or if there is no memory for one. */
static thread_cache *own_cache(void) {
  if (mine || thread_ended) return mine;
  thread_cache *t = calloc(1, sizeof *t);
  if (!t) return NULL;
#ifndef TD_NO_THREADS
  pthread_once(&once, set_up);
  pthread_setspecific(thread_key, t);
#endif
  lock_pool();
  t->next = pool.threads;
  if (pool.threads) pool.threads->previous = t;
  pool.threads = t;
  unlock_pool();
  return mine = t;
}

static inline void add_own(_Atomic int64_t *counter, int64_t bytes) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + bytes, memory_order_relaxed);
}

static inline void count_call(thread_cache *t) {
  atomic_store_explicit(&t->calls, atomic_load_explicit(&t->calls, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- allocation ---- */

/* A fresh block; what is cached is given up before the answer is NULL. Counted as used only once it is there: a failed
   request is no peak. */
static char *fresh(unsigned class) {
  block *b = from_system(class);
  if (!b) {
    td_mem_trim();
    b = from_system(class);
    if (!b) return NULL;
  }
  lock_pool();
  count_in_use((int64_t)class_bytes(class));
  unlock_pool();
  return hand_out(b);
}

static void *alloc_small_slowly(unsigned class) {
  int64_t bytes = (int64_t)class_bytes(class);
  thread_cache *t = own_cache();
  lock_pool();
  if (t) {
    take_counters(t);
    for (int i = 0; i < BATCH && pool.lists[class].first; ++i) push(&t->lists[class], pop(&pool.lists[class]));
  }
  list *l = t ? &t->lists[class] : &pool.lists[class];
  block *b = l->first ? pop(l) : NULL;
  if (b) {
    pool.cached -= bytes;
    count_in_use(bytes);
  } else {
    ++pool.system_calls;
  }
  if (t)
    count_call(t);
  else
    ++pool.calls;
  unlock_pool();
  return b ? hand_out(b) : fresh(class);
}

static void *alloc_large(unsigned class) {
  block *chain = NULL, *b = NULL;
  lock_pool();
  ++pool.calls;
  /* One class up is at most another eighth too large. */
  for (unsigned c = class; c < CLASSES && c <= class + 1 && !b; ++c) b = pool.lists[c].first;
  if (b) {
    uncache_large(b);
    count_in_use((int64_t)class_bytes(b->class));
  } else {
    chain = excess_for((int64_t)class_bytes(class));
    ++pool.system_calls;
  }
  unlock_pool();
  release_chain(chain);
  return b ? hand_out(b) : fresh(class);
}

void *td_alloc(size_t nbytes) {
  if ((uint64_t)nbytes > UINT64_C(1) << 47) return NULL;
  unsigned class = class_of(nbytes);
  if (class >= SMALL_CLASSES) return alloc_large(class);
  thread_cache *t = mine;
  if (!t || !t->lists[class].first) return alloc_small_slowly(class);
  block *b = pop(&t->lists[class]);
  int64_t bytes = (int64_t)class_bytes(class);
  add_own(&t->in_use, bytes);
  add_own(&t->cached, -bytes);
  count_call(t);
  return hand_out(b);
}

void td_free(void *data) {
  if (!data) return;
  block *b = (block *)((char *)data - HEADER);
  if (b->state != LIVE) { /* going on would corrupt other data */
    fputs("td_free: freed twice, or not a block of td_alloc\n", stderr);
    abort();
  }
  b->state = IDLE;
  unsigned class = b->class;
  int64_t bytes = (int64_t)class_bytes(class);
  POISON(data, (size_t)bytes);
  if (class < SMALL_CLASSES) {
    thread_cache *t = mine ? mine : own_cache();
    if (t) {
      push(&t->lists[class], b);
      add_own(&t->in_use, -bytes);
      add_own(&t->cached, bytes);
      uint32_t limit = thread_list_limit((size_t)bytes);
      if (t->lists[class].count > limit) {
        lock_pool();
        empty_list(t, class, limit / 2);
        take_counters(t);
        unlock_pool();
      }
      return;
    }
    lock_pool();
    push(&pool.lists[class], b);
    pool.cached += bytes;
    pool.in_use -= bytes;
    unlock_pool();
    return;
  }
  lock_pool();
  pool.in_use -= bytes;
  cache_large(b);
  unlock_pool();
}

/* ---- statistics ---- */

void td_mem_get_stats(td_mem_stats *out) {
  lock_pool();
  int64_t in_use = pool.in_use, cached = pool.cached;
  uint64_t calls = pool.calls;
  for (thread_cache *t = pool.threads; t; t = t->next) {
    in_use += atomic_load_explicit(&t->in_use, memory_order_relaxed);
    cached += atomic_load_explicit(&t->cached, memory_order_relaxed);
    calls += atomic_load_explicit(&t->calls, memory_order_relaxed);
  }
  if (in_use > pool.peak) pool.peak = in_use;
  *out = (td_mem_stats){.in_use = in_use > 0 ? (uint64_t)in_use : 0,
                        .cached = cached > 0 ? (uint64_t)cached : 0,
                        .peak_in_use = (uint64_t)pool.peak,
                        .alloc_calls = calls,
                        .system_calls = pool.system_calls};
  unlock_pool();
}

void td_mem_reset_peak(void) {
  lock_pool();
  int64_t in_use = pool.in_use;
  for (thread_cache *t = pool.threads; t; t = t->next) in_use += atomic_load_explicit(&t->in_use, memory_order_relaxed);
  pool.peak = in_use > 0 ? in_use : 0;
  unlock_pool();
}

/* Free lists of other threads stay: only their owners may touch them. */
void td_mem_trim(void) {
  block *chain = NULL;
  thread_cache *t = mine;
  lock_pool();
  if (t) {
    take_counters(t);
    for (unsigned c = 0; c < SMALL_CLASSES; ++c) empty_list(t, c, 0);
  }
  for (unsigned c = 0; c < SMALL_CLASSES; ++c)
    while (pool.lists[c].first) {
      block *b = pop(&pool.lists[c]);
      pool.cached -= (int64_t)class_bytes(c);
      b->next = chain;
      chain = b;
    }
  while (pool.oldest) {
    block *b = pool.oldest;
    uncache_large(b);
    b->next = chain;
    chain = b;
  }
  pool.high_water = pool.in_use;
  unlock_pool();
  release_chain(chain);
}

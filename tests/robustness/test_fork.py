"""Children of fork compute on: the same bits, with threads of their own, and they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import pytest

import taeda

from .training import make

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(autouse=True)
def two_threads():
    before = taeda.get_num_threads()
    taeda.set_num_threads(2)
    yield
    taeda.set_num_threads(before)


def in_child(work) -> int:
    """Runs work() in a forked child; its process id."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)  # a child that hangs is a failure, not a leftover
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return pid


def ends_well(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_children_compute_the_same(compiled):
    def losses(threads):
        taeda.set_num_threads(threads)
        _, step, *batch = make(600)
        run = taeda.compile(step) if compiled else step
        return [run(*batch).item() for _ in range(4)]

    expected = losses(2)  # the parent's pool runs from here on
    children = [in_child(lambda threads=threads: losses(threads) == expected) for threads in (1, 2, 2, 3)]
    assert losses(2) == expected  # the parent goes on meanwhile
    assert [ends_well(pid) for pid in children] == [True] * 4


def test_a_program_compiled_before_the_fork_runs_after_it():
    _, step, *batch = make(600)
    expected = [step(*batch).item() for _ in range(4)]
    _, step, *batch = make(600)
    run = taeda.compile(step)
    assert [run(*batch).item() for _ in range(3)] == expected[:3]
    children = [in_child(lambda: run(*batch).item() == expected[3]) for _ in range(3)]
    assert run(*batch).item() == expected[3]
    assert [ends_well(pid) for pid in children] == [True] * 3


def test_grandchildren():
    _, step, *batch = make(600)
    step(*batch)

    def work():
        step(*batch)
        return ends_well(in_child(lambda: step(*batch).item() > 0))

    assert ends_well(in_child(work))


def test_multiprocessing():
    """Workers of a data loader: several at once, each with ops and a compiled program of its own, results through pipes."""
    compiled = taeda.compile(lambda x: (x.softmax(1) @ x.t()).sum(1))
    batches = [taeda.full((300, 64), 0.25 * i).cos() for i in range(8)]
    expected = [compiled(batch).tolist() for batch in batches]

    context = multiprocessing.get_context("fork")
    indices, results = context.SimpleQueue(), context.SimpleQueue()

    def work(threads):
        taeda.set_num_threads(threads)
        while (i := indices.get()) is not None:
            eager = (batches[i].softmax(1) @ batches[i].t()).sum(1)
            results.put((i, compiled(batches[i]).tolist(), eager.tolist()))

    workers = [context.Process(target=work, args=(threads,), daemon=True) for threads in (1, 2, 2, 1)]
    for worker in workers:
        worker.start()
    for i in range(len(batches)):
        indices.put(i)
    got = [results.get() for _ in batches]
    for _ in workers:
        indices.put(None)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(got) == [(i, values, values) for i, values in enumerate(expected)]


def test_fork_while_another_thread_computes_and_compiles():
    _, step, *batch = make(600)
    expected = step(*batch).item()
    stop = threading.Event()

    def busy():
        n = os.getpid()  # constants that no cache holds
        while not stop.is_set():
            n += 1
            taeda.compile(lambda x, k=n + 0.1234: (x * k).exp().sum(1))(batch[0])

    def work():
        _, fresh, *again = make(600)
        constant = os.getpid() + 0.4321
        assert taeda.compile(lambda x: x * constant)(again[0]).equal(again[0] * constant)
        return fresh(*again).item() == expected

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert all([ends_well(pid) for pid in [in_child(work) for _ in range(4)]] == [True] * 4 for _ in range(3))
    finally:
        stop.set()
        thread.join()

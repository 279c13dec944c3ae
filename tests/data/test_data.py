"""Datasets, samplers, collation and the loader."""

from __future__ import annotations

import numpy as np
import pytest

import taeda
from taeda.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)  # fmt: skip


def numbers(n=10):
    return TensorDataset(taeda.arange(n), taeda.arange(n) * 2)


def test_loader_batches_in_order():
    batches = list(DataLoader(numbers(), batch_size=4))
    assert [b[0].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [b[1].tolist() for b in DataLoader(numbers(), batch_size=4, drop_last=True)] == [
        [0, 2, 4, 6],
        [8, 10, 12, 14],
    ]
    assert len(DataLoader(numbers(), batch_size=4)) == 3


def test_shuffle_is_a_permutation_and_repeats_with_the_seed():
    def order(seed):
        generator = taeda.Generator().manual_seed(seed)
        return [int(x) for x, _ in DataLoader(numbers(), batch_size=None, shuffle=True, generator=generator)]

    assert sorted(order(1)) == list(range(10))
    assert order(1) == order(1) != order(2)


def test_loader_errors():
    with pytest.raises(ValueError, match="mutually exclusive"):
        DataLoader(numbers(), shuffle=True, sampler=SequentialSampler(range(3)))
    with pytest.raises(ValueError, match="positive integer"):
        DataLoader(numbers(), batch_size=0)
    with pytest.raises(ValueError, match="non-negative"):
        DataLoader(numbers(), num_workers=-1)


def test_iterable_dataset():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    with pytest.raises(ValueError, match="shuffle"):
        DataLoader(Stream(), shuffle=True)


def test_collate_nested():
    batch = default_collate([{"x": np.float32(1), "y": (1, "a")}, {"x": np.float32(2), "y": (2, "b")}])
    assert batch["x"].tolist() == [1.0, 2.0]
    assert batch["y"][0].tolist() == [1, 2]
    assert batch["y"][1] == ["a", "b"]
    assert default_collate([1.5, 2.5]).dtype == taeda.float64
    with pytest.raises(TypeError, match="batch must contain"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])


def test_random_split():
    parts = random_split(numbers(10), [0.7, 0.3], taeda.Generator().manual_seed(0))
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(int(x) for p in parts for x, _ in p) == list(range(10))
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(numbers(10), [3, 3])


def test_combined_datasets():
    both = ConcatDataset([numbers(3), numbers(2)])
    assert len(both) == 5 and int(both[3][0]) == 0 and int(both[-1][0]) == 1
    assert int(Subset(numbers(), [4, 2])[1][0]) == 2
    assert StackDataset(a=numbers(3), b=numbers(3))[1]["b"][1] == 2
    with pytest.raises(ValueError, match="Size mismatch"):
        StackDataset(numbers(3), numbers(2))


def test_samplers():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert len(list(RandomSampler(range(3), replacement=True, num_samples=7))) == 7
    drawn = list(WeightedRandomSampler([0.0, 1.0, 0.0], 5))
    assert drawn == [1] * 5
    with pytest.raises(ValueError, match="num_samples"):
        RandomSampler(range(3), num_samples=0)

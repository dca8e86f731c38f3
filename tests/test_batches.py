"""Batches of chosen samples: all of them in an epoch, none but them, and other epochs in other orders."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snljax.supervised import batches

N = 24
ORDERS = batches.random_orders(jax.random.key(0), N)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=N, max_size=N).filter(any), st.integers(1, 6), st.integers(0, 300))
def test_an_epoch_is_each_chosen_sample_once_and_what_fills_no_batch_is_left_out(chosen, size, epoch):
    count = sum(chosen)
    in_epoch = max(1, count // size)
    rows = [
        np.asarray(batches.of_chosen(ORDERS, jnp.array(chosen), jnp.int32(epoch * in_epoch + i), size))
        for i in range(in_epoch)
    ]
    assert all(chosen[row] for row in np.concatenate(rows))
    seen = np.concatenate(rows)
    if count >= size:
        assert len(np.unique(seen)) == len(seen) == in_epoch * size
    else:
        assert set(seen) == set(np.flatnonzero(chosen))  # they come again


def test_all_chosen_are_the_batches_of_all():
    for t in range(40):
        some = batches.of_chosen(ORDERS, jnp.ones(N, bool), jnp.int32(t), 6)
        np.testing.assert_array_equal(some, batches.of_all(ORDERS, jnp.int32(t), 6, 4, 6))


def test_orders_of_epochs_differ():
    epochs = [np.asarray(batches.of_chosen(ORDERS, jnp.arange(N) < 12, jnp.int32(t), 12)) for t in range(40)]
    assert len({tuple(e) for e in epochs}) == 40
    assert all(sorted(e) == list(range(12)) for e in epochs)

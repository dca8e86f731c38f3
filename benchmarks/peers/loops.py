"""Training loops for any of the systems: JAX over all networks at once, PyTorch over many, PyTorch one by one."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from peers import Problem, Written, torch

CELLS, SHARED = PartitionSpec("cells"), PartitionSpec()


def jax_at_once(system: Written, problem: Problem, devices: tuple[Any, ...], with_optax: bool) -> Callable[[int], Any]:
    """One jitted loop over the steps of vmap over all networks of grad, their cells split over the devices.

    With optax the optimiser is vmapped too, and its states are batched.
    """
    mesh = Mesh(np.array(devices), ("cells",))
    rate, decay = problem.learning_rate, problem.weight_decay
    gradients = jax.vmap(jax.grad(system.loss), in_axes=(0, 0, None))
    optimizer = optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate)) if decay else optax.sgd(rate)

    def by_hand(w: Any, gradient: Any, state: Any) -> Any:
        return jax.tree.map(lambda w, g: (1 - rate * decay) * w - rate * g, w, gradient), state

    def by_optax(w: Any, gradient: Any, state: Any) -> Any:
        change, state = jax.vmap(optimizer.update)(gradient, state, w)
        return optax.apply_updates(w, change), state

    def trained(w: Any, cells: Any, mask: Any, shared: Any, steps: jax.Array) -> Any:
        def body(t: jax.Array, carry: Any) -> Any:
            w, state = carry
            data = shared if system.batch is None else system.batch(t, shared)
            if system.prune is not None:
                due = t % system.prune_every == 0
                w = lax.cond(due, lambda w: system.prune(w, cells, data), lambda w: w, w)
            w, state = (by_optax if with_optax else by_hand)(w, gradients(w, cells, data), state)
            return w if mask is None else jax.tree.map(lambda w, kept: w * kept, w, mask), state

        state = jax.vmap(optimizer.init)(w) if with_optax else ()
        return lax.fori_loop(0, steps, body, (w, state))[0]

    if len(devices) > 1:
        specs = (CELLS, CELLS, CELLS, SHARED, SHARED)
        trained = jax.shard_map(trained, mesh=mesh, in_specs=specs, out_specs=CELLS)
    run = jax.jit(trained)
    own = jax.device_put((problem.start, problem.cells, problem.mask), NamedSharding(mesh, CELLS))
    shared = jax.device_put(problem.shared, NamedSharding(mesh, SHARED))
    return lambda steps: jax.block_until_ready(run(*own, shared, np.int32(steps)))


def torch_vmapped(system: Written, problem: Problem, threads: int, compiled: bool) -> Callable[[int], Any]:
    """torch.func: vmap over the networks of grad of the loss, eager or through torch.compile."""
    start, cells, shared, mask = _tensors((problem.start, problem.cells, problem.shared, problem.mask))
    rate, decay = problem.learning_rate, problem.weight_decay
    gradients = torch.func.vmap(torch.func.grad(system.loss), in_dims=(0, 0, None))

    def step(w: Any, cells: Any, mask: Any, shared: Any) -> Any:
        gradient = gradients(w, cells, shared)
        w = {name: (1 - rate * decay) * w[name] - rate * gradient[name] for name in w}
        return w if mask is None else {name: w[name] * mask[name] for name in w}

    if compiled:
        torch._dynamo.config.recompile_limit = 64  # after 8 widths and thread counts it would silently run eagerly
        step = torch.compile(step, dynamic=False)

    def train(steps: int) -> Any:
        torch.set_num_threads(threads)
        w = start
        with torch.no_grad():
            for t in range(steps):
                data = shared if system.batch is None else system.batch(t, shared)
                if system.prune is not None and t % system.prune_every == 0:
                    w = system.prune(w, cells, data)
                w = step(w, cells, mask, data)
        return w

    return train


def torch_one(system: Written, problem: Problem, number: int) -> Callable[[int], Any]:
    """Eager PyTorch, one network: gradients by autograd, updates in place."""
    w, one, shared, mask = _tensors((problem.start, problem.cells, problem.shared, problem.mask))
    start = {name: value[number] for name, value in w.items()}
    cell = {name: value[number] for name, value in one.items()}
    cells = {name: value[None] for name, value in cell.items()}
    mask = mask and {name: value[number] for name, value in mask.items()}

    def train(steps: int) -> Any:
        w = {name: value.clone().requires_grad_() for name, value in start.items()}
        for t in range(steps):
            with torch.no_grad():
                data = shared if system.batch is None else system.batch(t, shared)
                if system.prune is not None and t % system.prune_every == 0:
                    pruned = system.prune({name: value[None] for name, value in w.items()}, cells, data)
                    for name, value in w.items():
                        value.copy_(pruned[name][0])
            gradient = torch.autograd.grad(system.loss(w, cell, data), list(w.values()))
            with torch.no_grad():
                for name, g in zip(w, gradient, strict=True):
                    if problem.weight_decay:
                        w[name] *= 1 - problem.learning_rate * problem.weight_decay
                    w[name] -= problem.learning_rate * g
                    if mask is not None:
                        w[name] *= mask[name]
        return {name: value.detach().numpy() for name, value in w.items()}

    return train


class Processes:
    """Eager PyTorch in some processes of one thread each, every network in one of them."""

    def __init__(self, pipes: list[Any]) -> None:
        self.pipes = pipes

    def train(self, steps: int) -> None:
        self._ask(steps)

    def weights(self) -> dict[str, np.ndarray]:
        """Of all networks, after the last training."""
        parts = self._ask(None)
        order = np.argsort(np.concatenate([mine for mine, _ in parts]))
        found = [w for _, networks in parts for w in networks]
        return {name: np.stack([found[i][name] for i in order]) for name in found[0]}

    def _ask(self, what: int | None) -> list[Any]:
        for pipe in self.pipes:
            pipe.send(what)
        return [pipe.recv() for pipe in self.pipes]


@contextlib.contextmanager
def processes(serve: Callable[..., None], shares: list[tuple[Any, ...]]) -> Iterator[Processes]:
    """A process for each share, running ``serve(pipe, *share)``.

    They start once and wait between trainings, so that neither their start nor their warm-up is timed.
    """
    context, pipes, started = multiprocessing.get_context("spawn"), [], []
    for share in shares:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, *share), daemon=True)
        process.start()
        there.close()  # so that the worker's failure ends the wait for it
        pipes.append(here)
        started.append(process)
    try:
        yield Processes(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in started:
            process.join()


def written_in_processes(
    system: Written, problem: Problem, workers: int
) -> contextlib.AbstractContextManager[Processes]:
    """A system's networks, each in one of so many processes."""
    count = len(next(iter(problem.start.values())))
    return processes(_serve, [(system, problem, range(worker, count, workers)) for worker in range(workers)])


def _serve(pipe: Any, system: Written, problem: Problem, mine: range) -> None:
    """Train for so many steps as often as asked; None asks for the weights; ends when the pipe is closed."""
    torch.set_num_threads(1)
    networks = [torch_one(system, problem, number) for number in mine]
    trained: list[Any] = []
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if asked is None:
            pipe.send((list(mine), trained))
        else:
            trained = [train(asked) for train in networks]
            pipe.send(None)


def _tensors(tree: Any) -> Any:
    """The arrays of a tree as tensors; numbers stay as they are."""
    return jax.tree.map(lambda a: torch.tensor(a) if isinstance(a, np.ndarray) else a, tree)

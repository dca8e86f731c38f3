"""VGG-16 and the residual networks: sizes, the same as in PyTorch, many at once, types, and what they refuse."""

from __future__ import annotations

import copy
import functools
import sys

import chex
import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from harness import ROOT

from snljax.models.vision import resnet
from snljax.models.vision.projection import ProjectionHead
from snljax.models.vision.vgg import VGG16, largest
from snljax.sweep.convolutions import in_one_form

MODELS = {name: getattr(resnet, name) for name in ("resnet18", "resnet32", "resnet50", "resnet20_128")}
MODELS["VGG16"] = VGG16
SIZES = {
    "resnet18": 11_173_962,
    "resnet32": 464_154,
    "resnet50": 23_520_842,
    "resnet20_128": 17_289_866,
    "VGG16": 14_724_042,
}
# Two blocks of each kind, and the whole VGG-16, all narrow.
NARROW = {
    "resnet18": {"width": 0.0625, "blocks": (1, 1)},
    "resnet32": {"width": 0.25, "blocks": (1, 1)},
    "resnet50": {"width": 0.0625, "blocks": (1, 1)},
    "VGG16": {"width": 0.125},
}
RATE = 0.001  # small: a ReLU that rounding switches moves the weights by a step, and not by 1e-4
OPTIMIZER = optax.sgd(RATE, momentum=0.9)
TINY = functools.partial(resnet.ResNet, blocks=(1, 1), filters=(4, 6))


def batch(side=8, n=16):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, side, side, 3), np.float32), np.arange(n) % 10


def types(*trees):
    return {leaf.dtype for leaf in jax.tree.leaves(trees)}


def model(name, width=1.0, blocks=None, dtype="float32"):
    more = {"blocks": blocks, "filters": MODELS[name]().filters[: len(blocks)]} if blocks else {}
    return MODELS[name](width=width, dtype=dtype, **more)


def gradient(module, variables, x, y):
    """Of the loss on a batch; with logits and what the network then holds."""

    def loss(params):
        own = variables | {"params": params}
        logits, changed = module.apply(own, x, train=True, mutable=["batch_stats"])
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y)), (logits, changed)

    return jax.grad(loss, has_aux=True)(variables["params"])


def one_step(module, variables, state, x, y):
    """The network after one step with momentum, the optimiser's state, the gradient and the logits."""
    g, (logits, changed) = gradient(module, variables, x, y)
    updates, state = OPTIMIZER.update(g, state)
    return {"params": optax.apply_updates(variables["params"], updates), **changed}, state, g, logits


def trained(module, variables, x, y, steps=10):
    """After some steps."""

    def step(_, carry):
        return one_step(module, *carry, x, y)[:2]

    return jax.lax.fori_loop(0, steps, step, (variables, OPTIMIZER.init(variables["params"])))[0]


@pytest.mark.parametrize("name", MODELS)
def test_sizes_and_the_factor_of_the_width(name):
    """Published counts; VGG-16 without the biases that batch norms take away."""
    images, key = jnp.zeros((2, 32, 32, 3)), jax.random.key(0)
    variables = jax.eval_shape(MODELS[name]().init, key, images)
    assert sum(p.size for p in jax.tree.leaves(variables["params"])) == SIZES[name]
    narrow = MODELS[name](num_classes=0, width=0.25, dtype="bfloat16")
    features, narrow = jax.eval_shape(narrow.init_with_output, key, images)
    assert types(features, narrow) == {jnp.dtype("float32")}
    scales = [len(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(variables) if "mean" in str(path)]
    assert [len(x) for path, x in jax.tree_util.tree_leaves_with_path(narrow) if "mean" in str(path)] == [
        s // 4 for s in scales
    ]
    chex.assert_shape(features, (2, variables["params"]["head"]["kernel"].shape[0] // 4))


def against_pytorch(name, side, n, dtype="float32", steps=10, **form):
    """Logits, running statistics, gradients and some steps, from the same weights on the same batch."""
    torch = pytest.importorskip("torch")
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.append(str(ROOT / "benchmarks"))
    from peers import image_networks

    torch.manual_seed(0)
    torch.set_num_threads(1)
    # In double precision: what PyTorch rounds in single precision moves VGG-16 more than what we do.
    module, other = model(name, dtype=dtype, **form), image_networks.network(name, **form).double()
    x, y = batch(side, n)
    x = x.astype(dtype)
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2)).double(), torch.tensor(y)
    descent = torch.optim.SGD(other.parameters(), lr=RATE, momentum=0.9)

    def step():
        descent.zero_grad()
        logits = other(images)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        return logits.detach().numpy()

    def in_eval():
        other.eval()
        with torch.no_grad():
            logits = other(images).numpy()
        other.train()
        return logits

    variables = jax.tree.map(np.dtype(dtype).type, image_networks.variables(other))
    chex.assert_trees_all_equal_shapes(variables, jax.eval_shape(module.init, jax.random.key(0), x))
    close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-4)
    apply, step_of_ours = jax.jit(module.apply), jax.jit(functools.partial(one_step, module))
    close(apply(variables, x), in_eval())
    state = OPTIMIZER.init(variables["params"])
    after, state, found, logits = step_of_ours(variables, state, x, y)
    close(logits, step())
    counts = values_of_a_channel(module, variables, x)
    close(after["batch_stats"], biased(image_networks.variables(other)["batch_stats"], counts, 1))
    if not steps:
        return
    close(found, image_networks.variables(other, gradients=True)["params"])
    for _ in range(steps):
        before = after
        after, state, _, _ = step_of_ours(after, state, x, y)
        descent.step()
        step()
    wanted = image_networks.variables(other)
    close(before["params"], wanted["params"])
    close(after["batch_stats"], biased(wanted["batch_stats"], counts, steps + 1))
    close(
        apply(before | {"batch_stats": after["batch_stats"]}, x), in_eval(), atol=2e-3
    )  # of slightly larger variances


def values_of_a_channel(module, variables, x):
    """How many each batch norm has in a batch, by its place."""
    _, seen = jax.eval_shape(
        functools.partial(module.apply, capture_intermediates=True, mutable=True, train=True), variables, x
    )
    return {
        path[:-2]: (leaf.size // leaf.shape[-1])
        for path, leaf in ((keys(p), leaf) for p, leaf in jax.tree_util.tree_leaves_with_path(seen["intermediates"]))
        if any("norm" in part for part in path)
    }


def keys(path):
    return tuple(str(getattr(part, "key", getattr(part, "idx", part))) for part in path)


def biased(statistics, counts, steps):
    """PyTorch's running statistics, whose variances divide by one less, as flax has them: exactly."""

    def one(path, leaf):
        place, start = keys(path), 0.9**steps  # of the first variance, 1, so much is left
        if place[-1] == "mean":
            return leaf
        n = counts[place[:-1]]
        return start + (leaf - start) * (n - 1) / n

    return jax.tree_util.tree_map_with_path(one, statistics)


@pytest.mark.parametrize("name", NARROW)
def test_it_is_pytorchs(name):
    against_pytorch(name, 8, 32 if name == "VGG16" else 16, **NARROW[name])  # one pixel is left of 8


# Of ResNet-50 at its start single precision, PyTorch's too, gives the gradient to a hundredth alone.
EXACT = [name for name in MODELS if name != "resnet50"]


@pytest.mark.slow
def test_the_gradient_of_resnet50_is_as_near_as_pytorchs():
    """To the one in double precision."""
    torch = pytest.importorskip("torch")
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.append(str(ROOT / "benchmarks"))
    from peers import image_networks

    torch.manual_seed(0)
    single = image_networks.network("resnet50", width=0.25)
    x, y = batch(16, 16)
    variables = image_networks.variables(single)
    found, _ = jax.jit(functools.partial(gradient, model("resnet50", width=0.25)))(variables, x, y)
    theirs = []
    for made in (copy.deepcopy(single), copy.deepcopy(single).double()):
        images = torch.tensor(x.transpose(0, 3, 1, 2)).to(next(made.parameters()).dtype)
        torch.nn.functional.cross_entropy(made(images), torch.tensor(y)).backward()
        theirs.append(image_networks.variables(made, gradients=True)["params"])

    def off(gradient):
        parts = zip(jax.tree.leaves(gradient), jax.tree.leaves(theirs[1]), strict=True)
        return np.sqrt(sum(np.sum((np.asarray(mine) - true) ** 2) for mine, true in parts))

    zero = jax.tree.map(np.zeros_like, theirs[1])
    assert off(found) < min(3 * off(theirs[0]), 0.05 * off(zero))


@pytest.fixture
def double(monkeypatch):
    """Networks of all types in double precision, which users are not offered: the rest of snljax is single."""
    monkeypatch.setattr(resnet, "TYPES", (*resnet.TYPES, "float64"))
    with jax.enable_x64(True):
        yield "float64"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_statistics_of_the_full_form_are_pytorchs(name):
    against_pytorch(name, 16, 32, steps=0, width=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_gradients_and_steps_of_the_full_form_are_pytorchs_in_double_precision(name, double):
    """In single precision gradients of the deepest are off by more than 1e-4, PyTorch's too."""
    against_pytorch(name, 16, 32, double, width=0.25)


def many_are_each_by_itself(module, side, n, dtype="float32"):
    """In one program as a block has it, after ten steps; networks differ in their weights."""
    x, y = batch(side, n)
    x = x.astype(dtype)
    variables = jax.jit(jax.vmap(module.init, (0, None)))(jax.random.split(jax.random.key(0), 3), x)
    variables = jax.tree.map(lambda a: a.astype(dtype), variables)
    one = functools.partial(trained, module)
    first = jax.tree.map(lambda a: a[0], variables)
    stage = jax.jit(one).trace(first, x, y)
    flat = jax.extend.core.jaxpr_as_fun(in_one_form(stage.jaxpr))

    def in_a_block(variables):
        return jax.tree.unflatten(jax.tree.structure(stage.out_info), flat(*jax.tree.leaves((variables, x, y))))

    together = jax.jit(jax.vmap(in_a_block))(variables)
    alone = jax.jit(one)
    for i in range(3):
        mine = jax.tree.map(lambda a, i=i: a[i], variables)
        found = jax.tree.map(lambda a, i=i: a[i], together)
        chex.assert_trees_all_close(found, alone(mine, x, y), rtol=1e-4, atol=1e-4)


def test_many_networks_at_once_are_each_by_itself():
    many_are_each_by_itself(TINY(), 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_many_full_networks_at_once_are_each_by_itself(name):
    many_are_each_by_itself(MODELS[name](width=0.125), 8, 16)


@pytest.mark.slow
def test_many_of_resnet50_are_each_by_itself_in_double_precision(double):
    """In single precision a step's differences of 1e-5 are 0.1 after ten: its first gradients are that steep."""
    many_are_each_by_itself(model("resnet50", 0.125, dtype=double), 16, 32, double)


def test_blocks_that_are_computed_again_give_the_same():
    x, y = batch()
    variables = jax.jit(TINY().init)(jax.random.key(0), x)
    found, wanted = (jax.jit(functools.partial(gradient, TINY(remat=r)))(variables, x, y) for r in (True, False))
    chex.assert_trees_all_close(found, wanted, rtol=1e-5, atol=1e-6)
    text = jax.jit(functools.partial(gradient, TINY(remat=True))).lower(variables, x, y).as_text()
    assert "optimization_barrier" in text


def test_half_the_digits_in_products_alone():
    """bfloat16: weights, statistics, gradients and logits stay float32, and logits are near."""
    x, y = batch()
    half = TINY(dtype="bfloat16")
    variables = jax.jit(half.init)(jax.random.key(0), x)
    g, (logits, changed) = jax.jit(functools.partial(gradient, half))(variables, x, y)
    assert types(g, logits, changed, variables) == {jnp.dtype("float32")}
    _, (wanted, _) = jax.jit(functools.partial(gradient, TINY()))(variables, x, y)
    error = float(jnp.abs(logits - wanted).max())
    assert 1e-5 < error < 0.1 * float(jnp.std(wanted)) + 0.02


@pytest.mark.parametrize("side", [8, 11, 28, 33])
def test_other_sizes_of_images(side):
    for module in (VGG16(width=0.0625), TINY()):
        x = jnp.zeros((2, side, side + 1, 1))
        logits, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
        chex.assert_shape(logits, (2, 10))


def test_refusals(one_line):
    key = jax.random.key(0)
    for module in (VGG16, resnet.resnet18):
        one_line(lambda m=module: jax.eval_shape(m().init, key, jnp.zeros((2, 8, 7, 3))), "8 × 7", "8 or more")
        wrong = module(dtype="float16")
        one_line(lambda m=wrong: jax.eval_shape(m.init, key, jnp.zeros((2, 8, 8, 3))), "float16", "bfloat16")
    one = VGG16(width=0.0625)
    one_line(
        lambda: jax.eval_shape(lambda: one.init(key, jnp.zeros((1, 8, 8, 3)), train=True)), "1 in a batch", "2 or more"
    )


def test_the_largest_of_four_pixels():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 3), np.float32)
    wanted = x[:, :4].reshape(2, 2, 2, 3, 2, 3).max((2, 4))
    np.testing.assert_array_equal(largest(jnp.asarray(x)), wanted)
    for place in np.ndindex(2, 2):
        assert jnp.isnan(largest(jnp.ones((1, 2, 2, 1)).at[0, *place, 0].set(jnp.nan))).all()
    shares = jax.grad(lambda x: jnp.sum(largest(x)))(jnp.array([0.0, 1.0, 1.0, 1.0]).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(shares.reshape(-1), [0, 1, 0, 0])


def test_the_head():
    """The formula; with norms each feature has mean 0 and variance 1 over a batch."""
    h = np.random.default_rng(0).standard_normal((64, 6), np.float32)
    z, variables = ProjectionHead(4, hidden=5).init_with_output(jax.random.key(0), h)
    p = jax.tree.map(np.asarray, variables["params"])
    hidden = np.maximum(h @ p["dense1"]["kernel"] + p["dense1"]["bias"], 0)
    np.testing.assert_allclose(z, hidden @ p["dense2"]["kernel"] + p["dense2"]["bias"], rtol=1e-4, atol=1e-5)
    head = ProjectionHead(4, norm=True)
    variables = head.init(jax.random.key(0), h)
    assert "bias" not in variables["params"]["dense2"]
    z, _ = head.apply(variables, h, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.var(0), 1, atol=1e-2)

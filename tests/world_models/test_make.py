"""Presets have the sizes they claim, every space gets its encoder, bad input is said."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from rlseq import registry
from rlseq.cores.mlp import MLP
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.world_models import make_world_model
from rlseq.world_models.initial import like_mamba
from tests.world_models.small import VECTOR, make

FRAME = spaces.Box(0, 255, (64, 64, 3), jnp.uint8)
GRID = spaces.Box(0.0, 1.0, (10, 10, 4), jnp.float32)


def sizes(model):
    """Parameters by part."""
    made = jax.eval_shape(model.init, jax.random.key(0))["params"]
    return {k: sum(math.prod(x.shape) for x in jax.tree.leaves(v)) for k, v in made.items()}


def test_drama_xs_has_the_published_size_part_by_part():
    count = sizes(make_world_model("drama", FRAME, 18, preset="drama_xs"))
    assert sum(count.values()) == 7_161_603
    assert count["encoder"] == 232_272
    assert count["decoder"] == 1_281_811
    assert count["posterior_head"] + count["prior_head"] == 1_574_912
    assert count["core"] + count["sequence"] == 3_743_648
    assert count["reward_body"] + count["reward_head"] == 197_119
    assert count["ending_body"] + count["ending_head"] == 131_841


def widths(made, *path):
    """The standard deviation of a kernel's initial values."""
    for name in path:
        made = made[name]
    return float(jnp.std(made["kernel"]))


@pytest.mark.parametrize(("core", "layers"), [("mamba1", 1), ("mamba2", 2)])
def test_initial_scales_are_those_of_the_released_code(core, layers):
    model = make_world_model(
        "drama", FRAME, 18, core={"name": core, "layers": layers}, preset="drama_xs",
        channels=(1, 1, 1, 1, 64),
    )  # fmt: skip
    made = jax.jit(model.init)(jax.random.key(0))["params"]
    layer = made["core"]["layers_0"]
    found = {
        "inputs": widths(layer, "inputs", "dense"),
        "output": widths(layer, "output", "dense"),
        "posterior": widths(made, "posterior_head"),
        "prior": widths(made, "prior_head"),
        "stem": widths(made, "sequence", "stem"),
    }
    # PyTorch's default is uniform within +-1 / sqrt(inputs), of variance 1 / (3 inputs).
    inputs = {"inputs": 512, "output": 1024 * layers, "posterior": 1024, "prior": 512, "stem": 1042}
    for part, number in inputs.items():
        assert found[part] == pytest.approx((3 * number) ** -0.5, rel=0.02), part
    assert found["inputs"] == pytest.approx(0.0255, abs=5e-4)
    assert found["posterior"] == pytest.approx(0.018, abs=3e-4)


def test_nano_begins_wider_and_says_so():
    model = make_world_model("drama", VECTOR, 18, core={"name": "mamba2"}, preset="nano")
    made = jax.jit(model.init)(jax.random.key(0))["params"]
    hidden, latents = 128, 256
    inputs = widths(made["core"]["layers_0"], "inputs", "dense")
    assert inputs == pytest.approx(hidden**-0.5, rel=0.02)
    prior = widths(made, "prior_head")
    assert prior == pytest.approx((2 / (hidden + latents)) ** 0.5, rel=0.02)


def test_cores_without_a_reference_in_drama_begin_as_they_are():
    model = make("gru")
    args = model.core.init_carry(1), jnp.zeros((1, 1, 16)), jnp.zeros((1, 1), bool)
    plain = jax.eval_shape(model.core.init, jax.random.key(0), *args)["params"]
    made = jax.jit(model.init)(jax.random.key(0))["params"]["core"]
    assert jax.tree.structure(plain) == jax.tree.structure(made)
    assert like_mamba(made, model.core.layers) == made


@pytest.mark.parametrize(
    ("preset", "millions"), [("drama_s", 17.2), ("nano", 2.4), ("nano_atari", 3.3)]
)
def test_the_other_presets_have_the_sizes_of_the_docs(preset, millions):
    total = sum(sizes(make_world_model("drama", FRAME, 18, preset=preset)).values())
    assert abs(total / 1e6 - millions) < 0.05


SPACES = [
    ("conv", spaces.Box(0, 255, (16, 32, 3), jnp.uint8), {"channels": (2, 3, 4)}),
    ("patch", spaces.Box(0, 255, (24, 32, 3), jnp.uint8), {"encoder": "patch"}),
    ("grid", GRID, {}),
    ("vector", GRID, {"encoder": "vector"}),
    ("vector", spaces.Discrete(5), {}),
    ("vector", MultiDiscrete([3, 2]), {}),
]


@pytest.mark.parametrize(("kind", "space", "changes"), SPACES)
def test_every_space_is_encoded_and_decoded(kind, space, changes):
    model = make(space=space, **({"encoder": "conv", "channels": (4, 4)} | changes))
    assert kind in type(model.autoencoder.decoder).__name__.lower()
    obs = jax.vmap(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), (2, 3)))

    @jax.jit
    def run(key):
        params = model.init(key)
        latent = model.encode(params, obs, key)
        return latent, model.decode(params, latent), model.autoencoder.preprocess(obs)

    latent, decoded, x = run(jax.random.key(1))
    assert latent.shape == (2, 3, 16)
    assert decoded.size == x.size and decoded.dtype == x.dtype == jnp.float32
    if kind != "vector":
        assert decoded.shape == (2, 3, *space.shape)
        assert x.min() >= 0 and x.max() <= 1
        top = float(np.max(space.high))
        assert decoded.min() >= 0 and decoded.max() <= top and decoded.max() > 0.3 * top


class Mute(MLP):
    """A core that only scans."""

    step = None


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"preset": "drama_xss"}, "unknown preset of drama 'drama_xss'. Did you mean 'drama_xs'"),
        ({"encodr": "conv"}, "Did you mean 'encoder'"),
        (
            {"encoder": "convolution"},
            "unknown world_model.encoder 'convolution'. Did you mean 'conv'",
        ),
        ({"core": {"name": "mamba3x"}}, "unknown core 'mamba3x'"),
        ({"core": {"name": "gru", "state_sizes": 3}}, "option of core 'gru'"),
        ({"core": {"name": "mute"}}, "core 'mute' cannot step, which imagination needs"),
        ({"obs_space": spaces.Box(0, 255, (84, 60, 3), jnp.uint8)}, "by 16, which 84 x 60 do not"),
        (
            {"encoder": "patch", "obs_space": spaces.Box(0, 255, (84, 84, 3), jnp.uint8)},
            "by 8, which 84 x 84 do not",
        ),
        ({"obs_space": spaces.Box(-1, 1, (32, 32, 1), jnp.float32)}, "lie between 0 and a bound"),
        ({"encoder": "grid", "obs_space": spaces.Discrete(3)}, "'grid' needs images"),
        ({"num_actions": 0}, "num_actions must be at least 1"),
        ({"latents": 0}, "world_model.latents must be at least 1"),
        ({"classes": 1}, "world_model.classes must be at least 2"),
        ({"unimix": 1.0}, "world_model.unimix must be below 1"),
        ({"free_bits": -1.0}, "world_model.free_bits must be at least 0"),
        ({"lr": 0.0}, "world_model.lr must be above 0"),
        ({"dropout": 1.0}, "world_model.dropout must be below 1"),
        ({"two_hot": "symexpo"}, "unknown world_model.two_hot 'symexpo'. Did you mean 'symexp'"),
        ({"channels": (0,)}, "world_model.channels must be at least 1, got"),
    ],
)
def test_bad_input(settings, match, monkeypatch):
    monkeypatch.setitem(registry.TABLES["core"], "mute", f"{__name__}:Mute")
    given = {"obs_space": FRAME, "num_actions": 4, "preset": "drama_xs"} | settings
    with pytest.raises(InputError, match=match):
        make_world_model("drama", given.pop("obs_space"), given.pop("num_actions"), **given)


def test_unknown_world_models_are_named():
    with pytest.raises(InputError, match="unknown world_model 'dramma'\\. Did you mean 'drama'"):
        make_world_model("dramma", FRAME, 4)


def test_steps_that_do_not_divide_are_said():
    model = make()
    with pytest.raises(InputError, match="every must divide 4 steps, got 3"):
        model.remember({}, None, jnp.zeros((4, 1, 16)), None, None, every=3)

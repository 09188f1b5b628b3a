"""What rlseq adds to the packages: hidden velocities, XLand's goals."""

import imageio.v3 as imageio
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.analysis import drawing, gallery
from rlseq.envs import make_env
from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import PackageState
from rlseq.envs.jax_families.playground_env import LAYOUTS, NAMES
from rlseq.errors import InputError

# Where an observation is of coordinates and velocities alone, as the others of brax are not.
PLAIN = ("ant", "halfcheetah", "hopper", "inverted_double_pendulum", "inverted_pendulum")
BODIES = [n if n == "hopper" else pytest.param(n, marks=pytest.mark.slow) for n in PLAIN]
PARTS = [p if p == "Hopper" else pytest.param(p, marks=pytest.mark.slow) for p in LAYOUTS]


@pytest.mark.parametrize("name", [*BODIES, pytest.param("walker2d", marks=pytest.mark.slow)])
def test_velocities_are_what_changes_with_velocities(name, needs, loose_promotion):
    """Two states of one pose: what differs is hidden by `positions`, and all of `velocities`."""
    needs("brax")
    parts = {
        part: make_env(f"brax:{name}", observed=part).env for part in ("positions", "velocities")
    }
    package = parts["positions"].package

    @jax.jit
    def seen(q, qd):
        return package._get_obs(package.pipeline_init(q, qd))

    rng = np.random.default_rng(0)
    q, (one, two) = package.sys.init_q, rng.normal(size=(2, package.sys.qd_size()))
    apart = np.flatnonzero(seen(q, jnp.float32(one)) != seen(q, jnp.float32(two)))
    np.testing.assert_array_equal(parts["velocities"].shown, apart)
    whole = np.concatenate([parts["positions"].shown, apart])
    np.testing.assert_array_equal(np.sort(whole), np.arange(parts["positions"].size))


@pytest.mark.parametrize("start", PARTS)
def test_playgrounds_velocities_are_what_changes_with_velocities(start, needs):
    """The same by MuJoCo itself, which compiles nothing; what is felt may change or not."""
    needs("playground")
    import mujoco
    from mujoco import mjx

    name, layout = next(n for n in NAMES if n.startswith(start)), LAYOUTS[start]
    package = make_env(f"playground:{name}").env.package
    model, seen, rng = package.mj_model, [], np.random.default_rng(0)
    for _ in range(2):
        data = mujoco.MjData(model)
        data.qvel = rng.normal(size=model.nv)
        mujoco.mj_forward(model, data)
        with default_rules():
            seen.append(package._get_obs(mjx.put_data(model, data, impl="jax"), {}))
    assert seen[0].shape == (layout.size,)
    apart = set(np.flatnonzero(seen[0] != seen[1]).tolist())
    assert apart - set(layout.forces) == set(layout.velocities)


def test_arcade_tells_an_end_from_its_limit(needs, loose_promotion):
    """Of Skittles, whose own `terminated` and `done` count the limit as well."""
    needs("arcade")
    env = make_env("arcade:SkittlesEasy", observe="state").env.inner
    step = jax.jit(lambda inner: env.step_with(jax.random.PRNGKey(0), inner, 0)[2:])
    _, first = jax.jit(env.reset_with)(jax.random.PRNGKey(0))
    full, late = jnp.ones_like(first.matrix_state), env.max_steps - 1
    for time, board, ends in [
        (0, first.matrix_state, (False, False)),
        (late, first.matrix_state, (False, True)),
        (0, full, (True, False)),
        (late, full, (True, False)),
    ]:
        _, *found = step(first.replace(time=jnp.int32(time), matrix_state=board))
        assert tuple(map(bool, found)) == ends


@pytest.mark.parametrize(
    "name", ["SkittlesEasy", pytest.param("NoisyCartPoleEasy", marks=pytest.mark.slow)]
)
def test_the_state_of_arcade_is_the_whole_twin(name, needs, loose_promotion):
    needs("arcade")
    import popgym_arcade

    env = make_env(f"arcade:{name}", observe="state").env.inner
    key = jax.random.PRNGKey(1)
    _, inner = env.reset_with(key)
    _, inner, *_ = env.step_with(key, inner, 0)
    if name.startswith("Skittles"):  # each of its cells is hidden or not, by chance
        inner = inner.replace(matrix_state=jnp.ones_like(inner.matrix_state))
    whole, params = popgym_arcade.make(name.removeprefix("Noisy"), partial_obs=False)
    drawn = whole.get_obs(inner, params, key)
    state = PackageState(inner, jnp.int32(1), jnp.bool_(False), jnp.bool_(False))
    revealed = env.reveal(state)
    assert revealed.dtype == jnp.uint8
    np.testing.assert_array_equal(revealed, drawn)
    partly = env.package.get_obs(inner, params, key)
    assert (revealed != partly).any()


def test_more_steps_than_arcade_has_are_refused(needs):
    needs("arcade")
    with pytest.raises(InputError, match="has at most 100 steps, got max_steps=101"):
        make_env("arcade:SkittlesEasy", max_steps=101)


def test_navix_shows_the_board_and_pixels(needs):
    needs("navix")
    options = {"num_envs": 1, "observe": "both", "pixels": True}
    venv = make_env("navix:Navix-Empty-5x5-v0", **options)
    _, ts = venv.reset(jax.random.key(0))
    assert ts.obs["obs"].shape == (1, 56, 56, 3) and ts.obs["obs"].dtype == jnp.uint8
    board = np.asarray(ts.obs["state"]).reshape(5, 5, 3)
    assert (board[[0, -1]] == (2, 5, 0)).all() and (board[:, [0, -1]] == (2, 5, 0)).all()
    assert board[1, 1, 0] == 10 and board[3, 3, 0] == 8  # the agent and its goal
    assert venv.spec.obs_space.spaces["state"].nvec == (11, 6, 4) * 25


def test_the_gallery_shows_the_whole_board_of_navix(needs, tmp_path):
    needs("navix")
    image, _ = gallery.gallery(tmp_path, ["navix:Navix-Empty-5x5-v0"], print)
    shown = imageio.imread(image)
    # Steps in which nothing moved are one image.
    assert image.suffix == ".gif" and 1 < len(shown) <= 64 and shown.shape[1:] == (200, 200, 3)


def test_the_state_is_the_whole_observation(needs):
    needs("brax")
    both = make_env("brax:hopper", observed="positions", observe="both").spec.obs_space
    assert both.spaces["obs"].shape == (5,) and both.spaces["state"].shape == (11,)
    assert make_env("brax:humanoid", observed="positions").spec.obs_space.shape == (132,)
    with pytest.raises(InputError, match="Did you mean 'positions'"):
        make_env("brax:hopper", observed="position")


def test_drawn_goals_have_their_tiles_and_three_others(needs, loose_promotion):
    needs("xminigrid")
    make_env("xminigrid:XLand-MiniGrid-R1-9x9")  # it imports the package
    from rlseq.envs.jax_families.xland_env import HOLD, NEAR, TILE_NEAR, drawn

    rules = jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.PRNGKey(0), 600))
    goals, tiles = np.asarray(rules.goal), np.asarray(rules.init_tiles)
    assert goals.dtype == tiles.dtype == np.uint8
    assert not np.asarray(rules.rules).any()
    kinds, counts = np.unique(goals[:, 0], return_counts=True)
    assert list(kinds) == [HOLD, NEAR, TILE_NEAR] and (counts > 150).all()
    for goal, placed in zip(goals, tiles, strict=True):
        first, second = goal[1:3], goal[3:5]
        there = [tuple(tile) for tile in placed if tile.any()]
        assert len(set(there)) == len(there) == (5 if goal[0] == TILE_NEAR else 4)
        assert tuple(first) in there
        assert second.any() == (goal[0] == TILE_NEAR)
        # A tile that must be carried can be: 6 is the goal's, which cannot.
        carried = {HOLD: first, TILE_NEAR: second}.get(goal[0])
        assert carried is None or (tuple(carried) in there and carried[0] != 6)


def test_minigrids_pictures_are_the_packages_own(needs, tmp_path):
    """Each cell in sight as the package's renderer has it; what is hidden is black."""
    needs("xminigrid")
    env = make_env("xminigrid:XLand-MiniGrid-R1-9x9")
    cells, happened = (np.asarray(x) for x in env.reset(jax.random.key(0))[1].obs)
    assert drawing.drawing(make_env("xminigrid:MiniGrid-Unlock", previous_action=True)) is None
    (picture,) = drawing.drawing(env).images((cells, happened))
    from xminigrid.rendering import rgb_render

    view = cells.reshape(5, 5, 2)
    size = len(picture) // 5
    theirs = rgb_render.render(view, agent=None, tile_size=size)
    for row, column in np.ndindex(5, 5):
        cell = np.s_[row * size : (row + 1) * size, column * size : (column + 1) * size]
        if view[row, column, 0] == 0:
            assert not picture[cell].any()
        else:  # the agent stands on its cell alone
            same = (row, column) != (4, 2)
            assert (picture[cell] == theirs[cell]).all() == same
    gallery.gallery(tmp_path, ["xminigrid:MiniGrid-Empty-5x5"], show=lambda line: None)
    film = imageio.imread(tmp_path / "xminigrid_MiniGrid-Empty-5x5.gif")
    assert film.shape[1:] == (196, 196, 3) and film.std(axis=0).any()


def test_a_benchmark_is_drawn_from(needs, monkeypatch):
    needs("xminigrid")
    import xminigrid
    from xminigrid.benchmarks import Benchmark

    count = 5
    numbers = np.arange(count, dtype=np.uint8)
    goals = np.stack(
        [np.full(count, 3, np.uint8), 3 + numbers % 2, 1 + numbers, *[0 * numbers] * 2], 1
    )
    rules, tiles = np.zeros((count, 1, 7), np.uint8), np.full((count, 4, 2), 3, np.uint8)
    held = Benchmark(goals=goals, rules=rules, init_tiles=tiles, num_rules=numbers)
    asked = []
    monkeypatch.setattr(xminigrid, "load_benchmark", lambda name: asked.append(name) or held)
    options = {"rulesets": "trivial-21k", "num_rulesets": 3}
    venv = make_env("xminigrid:XLand-MiniGrid-R1-9x9", 32, **options)
    state, _ = venv.reset(jax.random.key(0))
    seen = {tuple(int(x) for x in goal) for goal in state.inner.rules.goal}
    assert asked == ["trivial-21k"]
    assert seen == {tuple(int(x) for x in goal) for goal in goals[:3]}

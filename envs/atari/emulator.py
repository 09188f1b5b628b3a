"""ALE's vector environment as two functions of arrays, usable inside jit.

A program orders the calls by data alone, so every call takes a token and returns the next one.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from jax.experimental import io_callback

from rlseq.envs.atari.pixels import NATIVE
from rlseq.envs.atari.presets import Preset
from rlseq.envs.host import remembered
from rlseq.errors import InputError

SKIP = 4  # frames an action lasts; the last two are merged by their maximum
GAME_BYTES = 2_000_000  # ours, measured with ale-py 0.12: a game's emulator, rounded up


class Frames(NamedTuple):
    """What the emulator answers for R games: of JAX inside programs, of NumPy on the host."""

    obs: Any  # [R, stack, H, W] or [R, stack, H, W, 3] uint8
    reward: Any  # [R] int32
    terminated: Any  # [R] bool
    truncated: Any  # [R] bool
    lives: Any  # [R] int32


class Emulator(NamedTuple):
    """R games; `token` is uint8 [8], all zeros, but known only once the call has returned."""

    reset: Callable[[jax.Array], tuple[jax.Array, Frames]]  # seeds int32 [R]
    step: Callable[[jax.Array, jax.Array], tuple[jax.Array, Frames]]  # token, actions int32 [R]


def make_emulator(game: str, rows: int, preset: Preset, backend: str, threads: int) -> Emulator:
    """R = rows games in one emulator, by typed foreign calls ("ffi") or ordered callbacks.

    Raises InputError where the machine has no memory for them.
    """
    check_memory(game, rows, preset)
    env = open_games(game, rows, preset, threads)
    return (_foreign if backend == "ffi" else _called_back)(env, rows)


def open_games(game: str, rows: int, preset: Preset, threads: int) -> AtariVectorEnv:
    """ALE's own object; its frames are native unless it is the one that shrinks them."""
    native = preset.resize != "emulator"
    height, width = NATIVE if native else (preset.size, preset.size)
    return AtariVectorEnv(
        game,
        rows,
        img_height=height,
        img_width=width,
        grayscale=preset.grey,
        stack_num=preset.stack,
        frameskip=SKIP,
        maxpool=True,
        noop_max=preset.noop_max,
        use_fire_reset=False,
        episodic_life=False,  # it would restart the game at each lost life
        life_loss_info=False,
        reward_clipping=preset.clip,
        repeat_action_probability=preset.sticky,
        full_action_space=preset.full_actions,
        max_num_frames_per_episode=preset.max_frames,
        num_threads=threads or _cores(),
    )


def _cores() -> int:
    """Those this process may use; the emulator by itself would count the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_actions(game: str, preset: Preset) -> int:
    """How many actions the preset gives in a game; starts one game for a moment."""
    env = open_games(game, 1, preset, 1)
    return int(cast(Any, env.single_action_space).n)


def check_memory(game: str, rows: int, preset: Preset) -> None:
    """Raise InputError where `rows` games take more memory than the machine has left."""
    side = NATIVE if preset.resize != "emulator" else (preset.size, preset.size)
    frame = side[0] * side[1] * (1 if preset.grey else 3) * preset.stack
    each = GAME_BYTES + 4 * frame  # in the emulator, in transfer, in the state, in a carry
    left = _memory_left()
    if rows * each > left:
        raise InputError(
            f"{rows:,} games of {game} take about {rows * each / 1e9:.3g} GB, and "
            f"{left / 1e9:.3g} GB are left: at most {left // each:,} (env.num_envs times seeds)"
        )


def _memory_left() -> int:
    """Bytes available without swapping; all memory where the system does not report it."""
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _foreign(env: AtariVectorEnv, rows: int) -> Emulator:
    with jax.ensure_compile_time_eval():  # also where the first use is inside a trace
        handle, ale_reset, ale_step = cast(Any, env).xla()  # annotated as if of NumPy
    # The handle is a raw pointer. States hold only its difference from what it was, which keeps
    # the order of calls and leaves nothing in a saved state that could dangle.
    pointer = np.asarray(handle)

    def reset(seeds: jax.Array) -> tuple[jax.Array, Frames]:
        after, (obs, info) = ale_reset(jnp.asarray(pointer), seed=seeds)
        no = jnp.zeros(rows, bool)
        return after ^ pointer, Frames(obs, jnp.zeros(rows, jnp.int32), no, no, info["lives"])

    def step(token: jax.Array, actions: jax.Array) -> tuple[jax.Array, Frames]:
        after, (obs, reward, end, cut, info) = ale_step(token ^ pointer, actions)
        return after ^ pointer, Frames(obs, reward, end, cut, info["lives"])

    return Emulator(reset, step)


def _called_back(env: AtariVectorEnv, rows: int) -> Emulator:
    obs_shape = env.observation_space.shape
    leaves = ((obs_shape, np.uint8), ((rows,), np.int32), *2 * [((rows,), np.bool_)])
    shapes = Frames(*(jax.ShapeDtypeStruct(*leaf) for leaf in (*leaves, ((rows,), np.int32))))
    call = functools.partial(io_callback, result_shape_dtypes=shapes, ordered=True)
    token = np.zeros(8, np.uint8)

    def reset(seeds: jax.Array) -> tuple[jax.Array, Frames]:
        return jnp.asarray(token), call(
            remembered(functools.partial(_host_reset, env)), seeds=seeds
        )

    def step(token: jax.Array, actions: jax.Array) -> tuple[jax.Array, Frames]:
        return token, call(remembered(functools.partial(_host_step, env)), actions=actions)

    return Emulator(reset, step)


def _host_reset(env: AtariVectorEnv, seeds: Any) -> Frames:
    obs, info = env.reset(seed=np.asarray(seeds))
    no = np.zeros(len(obs), bool)
    return Frames(obs, np.zeros(len(obs), np.int32), no, no, info["lives"].astype(np.int32))


def _host_step(env: AtariVectorEnv, actions: Any) -> Frames:
    obs, reward, end, cut, info = env.step(np.asarray(actions))
    reward, lives = (np.asarray(x).astype(np.int32) for x in (reward, info["lives"]))
    return Frames(obs, reward, end, cut, lives)

"""Films of a trained policy: GIF or MP4 of evaluation episodes.

Atari games are shown at their native 210 x 160, by playing the actions again in an emulator that
renders; other environments as in the gallery.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as imageio
import jax
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rlseq.agents.acting import Act, Actor, Rewarded, act_once, rewarded_of, start_actor
from rlseq.analysis.drawing import Drawing, drawing
from rlseq.analysis.gallery import strip
from rlseq.analysis.whole import whole
from rlseq.envs import action_log
from rlseq.errors import InputError, missing_package
from rlseq.train import build, evaluate, files, host_env, models
from rlseq.train.stop import Stop, Watch
from rlseq.types import PyTree, TimeStep, VecEnv

FORMATS = (".gif", ".mp4")
CHUNK = 64  # steps of one call of the device


class Recorded(NamedTuple):
    """A time step of one environment, the action that led to it, and what is drawn of it."""

    timestep: TimeStep  # [1, ...]
    action: PyTree  # [1, ...]
    drawn: PyTree = None  # [1, ...]


def film(
    path: str | Path,
    out: Path,
    *,
    episodes: int = 1,
    steps: int = 3000,
    greedy: bool = False,
    seed_index: int = 0,
    step: str | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> str:
    """Write a video of a run's policy in evaluation episodes; a line that describes it.

    The episodes are the same each time, and differ from those of evaluations.

    Args:
        path: the run folder.
        out: a new file that ends in .gif or .mp4.
        episodes: how many, one after the other.
        steps: the most environment steps that are shown.
        greedy: the likeliest action instead of a sample.
        seed_index: which of the run's seeds plays.
        step: of the checkpoint, or "best"; the newest without it.
        say: is called with a line of progress from time to time.

    Raises InputError for another type of file, one that exists, a missing package for MP4 and as
    `rlseq.load_policy`, and Interrupted after SIGINT or SIGTERM: no file is left then.
    """
    check_file(out)
    run = models.open_trained(path)
    job, params, _ = evaluate.load_params(run, evaluate.checkpoint_step(run, step))
    evaluate.check_seed(job, seed_index)
    params = jax.tree.map(lambda leaf: leaf[seed_index], params)
    env = build.make_env(job.config.env, 1, evaluation=True, action_log=CHUNK)
    key = jax.random.fold_in(build.seed_keys(job.config)[seed_index], 0xF117)
    act = partial(job.agent.act, params, greedy=greedy)
    with Stop() as stop:
        watch = Watch(stop, say, "no video is written")
        carry, rewarded = job.agent.init_carry(1), rewarded_of(job.agent)
        drawn = drawing(env, say)
        seeds, recorded = play(env, act, carry, key, episodes, steps, watch, rewarded, drawn)
        images, rate = _images(env, seeds, recorded, drawn)
        write(out, images, rate, watch)
    return f"{out}: {_about(recorded, episodes, steps)}"


def _about(recorded: Recorded, episodes: int, steps: int) -> str:
    ends = recorded.timestep.terminated | recorded.timestep.truncated
    total = float(np.where(_counted(recorded.timestep), recorded.timestep.reward, 0).sum())
    ended = int(ends.sum())
    line = f"{len(ends)} steps, {ended} episodes ended, rewards sum to {total:.4g}"
    return line if ended >= episodes else f"{line}; cut after {steps} steps"


def write(
    out: Path,
    images: Iterable[np.ndarray],
    rate: int,
    watch: Callable[[str], None] = lambda progress: None,
) -> None:
    """Images uint8 [H, W, 3], `rate` a second, as GIF or MP4 by the suffix. Raises InputError.

    `watch` is called for every image; where it or anything raises, no file is left.
    """
    check_file(out)
    with whole(out) as beside:
        if out.suffix == ".gif":
            shown = np.stack(list(_watched(images, watch)))
            imageio.imwrite(beside, shown, duration=1000 / rate, loop=0)
        else:
            _write_mp4(beside, _watched(images, watch), rate)


def _watched(images: Iterable[np.ndarray], watch: Callable[[str], None]) -> Iterator[np.ndarray]:
    for number, image in enumerate(images, 1):
        watch(f"{number:,} images rendered")
        yield image


def check_file(out: Path) -> None:
    """Raise InputError unless a video can be written to this new file."""
    if out.suffix not in FORMATS:
        raise InputError(f"a video needs a file name that ends in .gif or .mp4, got {str(out)!r}")
    files.check_new(out)
    if out.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise missing_package("MP4", "imageio-ffmpeg", "video")


def _write_mp4(out: Path, images: Iterator[np.ndarray], rate: int) -> None:
    import imageio_ffmpeg  # an extra

    first = _even(next(images))
    size = first.shape[1], first.shape[0]
    # The pixels as they are; the codec's own colours need even sides.
    writer = imageio_ffmpeg.write_frames(str(out), size, fps=rate, macro_block_size=2)
    with warnings.catch_warnings():
        # JAX warns of forks; this one becomes ffmpeg at once.
        warnings.simplefilter("ignore", RuntimeWarning)
        writer.send(None)
    try:
        writer.send(first.tobytes())
        for image in images:
            writer.send(_even(image).tobytes())
    finally:
        writer.close()


def _even(image: np.ndarray) -> np.ndarray:
    odd = [(0, side % 2) for side in image.shape[:2]]
    return np.ascontiguousarray(np.pad(image, (*odd, (0, 0)), mode="edge"))


def play(
    env: VecEnv,
    act: Act,
    carry: Any,
    key: jax.Array,
    episodes: int,
    steps: int,
    watch: Callable[[str], None] = lambda progress: None,
    rewarded: Rewarded | None = None,
    drawn: Drawing | None = None,
) -> tuple[np.ndarray | None, Recorded]:
    """Play until enough episodes ended: (seeds of a host environment, time steps [T, 1, ...]).

    At most `steps` steps are played; `watch` is called between chunks of them.

    The first time step comes from the reset; its action is zeros.
    """

    def body(actor: Actor, _: None) -> tuple[Actor, Recorded]:
        actor, action = act_once(env, act, actor, rewarded)
        return actor, Recorded(actor.timestep, action, kept(actor))

    def kept(actor: Actor) -> PyTree:
        return drawn and drawn.keep(actor.env_state, actor.timestep)

    key, env_key = jax.random.split(key)
    actor = jax.jit(partial(start_actor, env))(carry, env_key, key)
    first = jax.device_get(Recorded(actor.timestep, None, jax.jit(kept)(actor)))
    logs = host_env.logs(actor.env_state)
    seeds = np.asarray(logs[0].seeds) if logs else None
    advance = jax.jit(lambda actor: jax.lax.scan(body, actor, length=CHUNK))
    parts, ended, length = [], 0, 0
    while ended < episodes and length < steps:
        actor, recorded = advance(actor)
        parts.append(jax.device_get(recorded))
        ended += int((parts[-1].timestep.terminated | parts[-1].timestep.truncated).sum())
        length += CHUNK
        watch(f"{min(length, steps):,} of at most {steps:,} steps played")
    return seeds, _joined(first, parts, episodes, steps)


def _joined(first: Recorded, parts: list[Recorded], episodes: int, steps: int) -> Recorded:
    """The first time step and those after it, up to the end of the last episode wanted."""
    recorded = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    start = first._replace(action=jax.tree.map(lambda x: np.zeros_like(x[0]), recorded.action))
    recorded = jax.tree.map(lambda a, b: np.concatenate([a[None], b]), start, recorded)
    ends = np.flatnonzero(recorded.timestep.terminated | recorded.timestep.truncated)
    last = min(steps, ends[episodes - 1] if len(ends) >= episodes else steps)
    return jax.tree.map(lambda x: x[: last + 1], recorded)


def _images(
    env: VecEnv, seeds: np.ndarray | None, recorded: Recorded, drawn: Drawing | None = None
) -> tuple[Iterator[np.ndarray], int]:
    """(an image for every step, images a second)."""
    emulator = action_log.find(env)
    if seeds is not None and isinstance(emulator, action_log.FilmedEnv):
        return emulator.film(seeds, recorded.action[1:]), emulator.frames_per_second
    shown = jax.tree.map(lambda x: x[:, 0], recorded)
    if drawn is not None:
        return _by_chunks(drawn, shown.drawn), 8
    return _over_time(env, shown.timestep), 8


def _by_chunks(drawn: Drawing, kept: PyTree) -> Iterator[np.ndarray]:
    """Images of what is kept, [T, ...]; some take so long that a signal must not wait for all."""
    for start in range(0, len(jax.tree.leaves(kept)[0]), CHUNK):
        yield from drawn.images(jax.tree.map(lambda x, start=start: x[start : start + CHUNK], kept))


def _over_time(env: VecEnv, steps: TimeStep) -> Iterator[np.ndarray]:
    """The gallery's strip; each image shows one more step of it."""
    figure = strip(env, steps)
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = np.asarray(canvas.buffer_rgba())[..., :3]
    time = figure.axes[0].transData
    edges = [int(time.transform((t - 0.5, 0))[0]) for t in range(len(steps.reward) + 1)]
    for now in edges[1:]:
        image = whole.copy()
        image[:, now : edges[-1]] = 255 - (255 - image[:, now : edges[-1]]) // 5
        yield image


def _counted(ts: TimeStep) -> np.ndarray:
    return np.ones(np.shape(ts.reward), bool) if ts.valid is None else np.asarray(ts.valid)

"""Videos of a world model's predictions beside the recorded episode."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlseq.analysis import plots, video
from rlseq.analysis.drawing import frames, is_image
from rlseq.analysis.predictions import Predictions, predict
from rlseq.errors import InputError
from rlseq.train import build, evaluate, models
from rlseq.train.stop import Stop, Watch
from rlseq.types import Sequences
from rlseq.world_models.types import AgentWithModel, WorldModel

_RATE = 8  # images a second


def film_imagination(
    path: str | Path,
    out: Path,
    *,
    context: int = 16,
    horizon: int = 48,
    start: int = 0,
    greedy: bool = False,
    seed_index: int = 0,
    step: str | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> str:
    """Write a video of an episode beside the world model's predictions; a line with their errors.

    Args:
        path: the folder of a run with a world model.
        out: a new file that ends in .gif or .mp4.
        context: steps that the model sees; it starts with an empty memory.
        horizon: steps that it imagines with the recorded actions, at most to the end of the
            episode.
        start: steps of the episode before the context.
        greedy, seed_index, step, say: as in `rlseq.analysis.video.film`.

    Raises InputError for a run without a world model, observations that are no images, an
    episode that ends within the context, and as `film`.
    """
    video.check_file(out)
    if context < 1 or horizon < 1 or start < 0:
        got = f"context = {context}, horizon = {horizon}, start = {start}"
        raise InputError(f"context and horizon must be at least 1, start at least 0, got {got}")
    run = models.open_trained(path)
    job, params, _ = evaluate.load_params(run, evaluate.checkpoint_step(run, step))
    model = _model(job)
    evaluate.check_seed(job, seed_index)
    params = jax.tree.map(lambda leaf: leaf[seed_index], params)
    key = jax.random.fold_in(build.seed_keys(job.config)[seed_index], 0xD4EA)
    play_key, see_key = jax.random.split(key)
    act = partial(job.agent.act, params, greedy=greedy)
    with Stop() as stop:
        watch = Watch(stop, say, "no video is written")
        rows = _record(job, act, play_key, start, context, horizon, watch)
        see = jax.jit(partial(predict, model), static_argnums=2)
        predicted = jax.device_get(see(params.model, rows, context, see_key))
        video.write(out, video_frames(rows, predicted, context), _RATE, watch)
    return f"{out}: {_errors(rows, predicted, context)}"


def video_frames(rows: Sequences, predicted: Predictions, context: int) -> Iterator[np.ndarray]:
    """uint8 [H, W, 3] for each of T steps of one environment, [T, 1, ...]."""
    real, shown = np.asarray(rows.obs)[:, 0], np.asarray(predicted.obs)[:, 0]
    if real.dtype == np.uint8:
        shown = np.clip(np.round(shown), 0, 255).astype(np.uint8)
    images = {"true": frames(real), "model": frames(shown)}
    rewards = {"true": np.asarray(rows.reward)[:, 0], "model": np.asarray(predicted.reward)[:, 0]}
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
        panels = figure.subplot_mosaic(
            [["true", "model"], ["reward", "reward"]], height_ratios=[3, 1]
        )
        shows = {name: _image(panels[name], pixels[0]) for name, pixels in images.items()}
        now = _rewards(panels["reward"], rewards, context)
        panels["true"].set_title("recorded")
        canvas = FigureCanvasAgg(figure)
        for t in range(len(real)):
            for name, show in shows.items():
                show.set_data(images[name][t])
            title = "reconstructed" if t < context else f"imagined, {t - context + 1} ahead"
            panels["model"].set_title(title)
            now.set_xdata([t, t])
            canvas.draw()
            yield np.array(canvas.buffer_rgba())[..., :3]


def _image(panel: Any, pixels: np.ndarray) -> Any:
    panel.axis("off")
    return panel.imshow(pixels, interpolation="nearest")


def _rewards(panel: Any, rewards: dict[str, np.ndarray], context: int) -> Any:
    """Both rewards over time, where imagination begins, and a line that moves with the film."""
    panel.step(
        range(len(rewards["true"])),
        rewards["true"],
        where="mid",
        color="#000000",
        lw=1.2,
        label="reward",
    )
    panel.plot(rewards["model"], "o", ms=3, color=plots.COLOURS[1], label="expected by the model")
    panel.axvline(context - 0.5, color="#888888", lw=1, ls="--")
    panel.set_xlim(-0.5, len(rewards["true"]) - 0.5)
    panel.set_xlabel("step; imagined from the dashed line on")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(loc="lower left", bbox_to_anchor=(0, 0.97), fontsize=8, frameon=False, ncols=2)
    return panel.axvline(0, color=plots.COLOURS[0], lw=1.5)


def _model(job: build.Job) -> WorldModel:
    """The agent's world model, whose observations are images. Raises InputError."""
    if not isinstance(job.agent, AgentWithModel):
        name = job.config.agent["name"]
        raise InputError(f"a run of agent {name!r} has no world model")
    env = build.make_env(job.config.env, 1)
    if not is_image(env.spec.obs_space):
        raise InputError(
            f"the observations of {env.spec.id} are not images, so there is nothing to show"
        )
    return job.agent.model


def _record(
    job: build.Job,
    act: Callable,
    key: jax.Array,
    start: int,
    context: int,
    horizon: int,
    watch: Callable[[str], None],
) -> Sequences:
    """Steps `start` to `start + context + horizon` of one episode, [T, 1, ...]."""
    env = build.make_env(job.config.env, 1, evaluation=True, action_log=video.CHUNK)
    steps = start + context + horizon
    _, recorded = video.play(env, act, job.agent.init_carry(1), key, 1, steps, watch)
    before, after = (
        jax.tree.map(lambda x, cut=cut: x[cut], recorded.timestep)
        for cut in (slice(None, -1), slice(1, None))
    )
    rows = Sequences(before.obs, recorded.action[1:], after.reward, after.terminated, before.reset)
    rows = jax.tree.map(lambda x: jnp.asarray(x[start:]), rows)
    if len(rows.reward) <= context:
        raise InputError(
            f"the episode ended after {start + len(rows.reward)} steps, within start and context, "
            f"{start + context}: choose smaller ones"
        )
    return rows


def _errors(rows: Sequences, predicted: Predictions, context: int) -> str:
    """Mean errors of observations and rewards, within the context and after it."""
    obs = (
        np.abs(np.asarray(rows.obs, np.float32) - predicted.obs)
        .reshape(len(predicted.reward), -1)
        .mean(1)
    )
    reward = np.abs(np.asarray(rows.reward) - predicted.reward)[:, 0]
    parts = (("seen", slice(0, context)), ("imagined", slice(context, None)))
    lines = [
        f"{name} {len(obs[cut])} steps: mean error {obs[cut].mean():.3g} of observations, "
        f"{reward[cut].mean():.3g} of rewards"
        for name, cut in parts
    ]
    return "; ".join(lines)

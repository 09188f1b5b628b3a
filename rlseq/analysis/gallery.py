"""An image of every environment: a GIF of what can be drawn, else a strip over time."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import matplotlib
import numpy as np
from gymnax.environments import spaces
from matplotlib.figure import Figure

import rlseq
from rlseq.analysis.drawing import Drawing, drawing
from rlseq.analysis.whole import whole
from rlseq.envs import catalogue, env_ids
from rlseq.envs.spaces import flatten
from rlseq.errors import InputError, check_names
from rlseq.train.files import make_folder, write_atomic
from rlseq.train.stop import Stop, Watch
from rlseq.types import PyTree, TimeStep, VecEnv

STEPS = 64
_STYLE: dict[Any, Any] = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}


def gallery(
    out: Path, ids: Sequence[str] = (), show: Callable[[str], object] = print
) -> list[Path]:
    """Play each environment at random and write its image, and README.md with all of them.

    Args:
        out: the folder, created if it is missing; its images are replaced.
        ids: environments; all without any.
        show: is called with a line for each image, or why there is none.

    Returns the files written. Raises InputError for an unknown id, and Interrupted after SIGINT or
    SIGTERM: what was drawn until then is whole, and on the page.
    """
    ids = list(ids) or env_ids()
    check_names("environment", ids, env_ids(missing=True))
    make_folder(out)
    written: list[Path] = []
    with Stop() as stop:
        watch = Watch(stop, lambda progress: None, f"the images so far are in {out}")
        for number, env_id in enumerate(ids):
            watch(f"{number} of {len(ids)} environments")
            try:
                written.append(_image(out, env_id, show))
            except InputError as missing:  # a package, say
                show(f"{env_id}: {missing}")
                continue
            show(str(written[-1]))
            _write_page(out, written)
    return [*written, out / "README.md"]


def _write_page(out: Path, images: Sequence[Path]) -> None:
    """README.md: a chapter a family, and of each environment what `rlseq list envs` says."""
    about, page, family = catalogue.lines(), "# Environments under random actions\n\n", ""
    for image in images:
        env_id = image.stem.replace("_", ":", 1)
        if env_id.partition(":")[0] != family:
            family = env_id.partition(":")[0]
            page += f"## {family}\n\n"
        page += f"### {env_id}\n\n{about.get(env_id, '')}\n\n![{env_id}]({image.name})\n\n"
    write_atomic(out / "README.md", page)


def _image(out: Path, env_id: str, show: Callable[[str], object]) -> Path:
    env = rlseq.make_env(env_id)
    stem = out / env_id.replace(":", "_")
    if (drawn := drawing(env, show)) is not None:
        path = stem.with_name(stem.name + ".gif")
        with whole(path) as beside:
            imageio.imwrite(beside, drawn.images(_play(env, drawn)[1]), duration=120, loop=0)
        return path
    with contextlib.suppress(InputError):  # there may be no hidden state to show
        env = rlseq.make_env(env_id, observe="both")
    path = stem.with_name(stem.name + ".png")
    with matplotlib.rc_context(_STYLE), whole(path) as beside:
        strip(env, _play(env)[0]).savefig(beside, dpi=110)
    return path


def _play(env: VecEnv, drawn: Drawing | None = None) -> tuple[TimeStep, PyTree]:
    """STEPS random steps of one environment and what is drawn of them, [STEPS, ...]; the first is
    the one of the reset."""

    def kept(state: Any, ts: TimeStep) -> tuple[TimeStep, PyTree]:
        return ts, drawn and drawn.keep(state, ts)

    def body(state: Any, key: jax.Array) -> tuple[Any, tuple[TimeStep, PyTree]]:
        act_key, env_key = jax.random.split(key)
        state, ts = env.step(state, env.spec.action_space.sample(act_key)[None], env_key)
        return state, kept(state, ts)

    def run(key: jax.Array) -> tuple[PyTree, PyTree]:
        state, first = env.reset(key)
        keys = jax.random.split(key, STEPS - 1)
        return kept(state, first), jax.lax.scan(body, state, keys)[1]

    first, rest = jax.jit(run)(jax.random.key(0))
    whole = jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[None], b]), first, rest)
    return jax.tree.map(lambda x: x[:, 0], whole)


def strip(env: VecEnv, steps: TimeStep) -> Figure:
    """What is seen, the hidden state where there is one, and rewards, from left to right."""
    space = env.spec.obs_space
    shown = {"seen": (space, steps.obs)}
    names = {"seen": "obs", "hidden": "state"}  # of `observe="both"`, not another Dict
    if isinstance(space, spaces.Dict) and set(space.spaces) == set(names.values()):
        shown = {title: (space.spaces[key], steps.obs[key]) for title, key in names.items()}
    figure = Figure(figsize=(6, 1.2 + 1.5 * len(shown)), layout="constrained")
    *panels, below = figure.subplots(
        len(shown) + 1, 1, sharex=True, height_ratios=[2] * len(shown) + [1]
    )
    for panel, (title, (part, values)) in zip(panels, shown.items(), strict=True):
        rows = np.asarray(flatten(part, values)).T
        panel.imshow(rows, aspect="auto", cmap="cividis", interpolation="nearest")
        panel.set_ylabel(title)
        panel.set_yticks([])
    below.bar(np.arange(len(steps.reward)), steps.reward, color="#0072B2", width=0.8)
    below.set_ylabel("reward")
    for start in np.flatnonzero(steps.reset):
        for panel in (*panels, below):
            panel.axvline(start - 0.5, color="#D55E00", lw=0.8)
    below.set_xlabel("step; lines begin episodes")
    figure.suptitle(env.spec.id, fontsize=9)
    return figure

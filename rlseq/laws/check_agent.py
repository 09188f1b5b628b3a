"""All laws on one agent, one verdict a law: what `rlseq check agent` prints."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from rlseq import config
from rlseq.agents import agent_config
from rlseq.errors import InputError
from rlseq.laws import agent_cases as cases
from rlseq.laws import agents as laws
from rlseq.laws.check import Verdict, described
from rlseq.train import build

_TRAINS = 2  # the law that an agent breaks which cannot be trained


def check_agent(name: str, overrides: Sequence[str] = ()) -> Iterator[Verdict]:
    """A verdict on each law, in order, each as soon as it is known.

    Args:
        name: an agent, as configurations call it.
        overrides: `key=value`, in the place of the small sizes that are chosen here.

    Raises InputError for an unknown agent, one that is none, and what a configuration refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = build.build(composed(name, overrides, Path(folder)))
        first, (about, check) = next(iter(LAWS.items()))
        yield _verdict(first, about, lambda: check(job.agent, agent_config(name)))
        try:
            case = laws.case(job.agent)
        except Exception as error:  # an agent of the user's own may raise anything
            yield Verdict(_TRAINS, LAWS[_TRAINS][0], False, described(error))
            return
        for law, (about, check) in list(LAWS.items())[1:]:
            yield _law(law, about, check, case, Path(folder))


def composed(name: str, overrides: Sequence[str], folder: Path) -> config.Config:
    """The configuration of a tiny run; what it learns from, if that is recorded, is in `folder`."""
    given = {text.partition("=")[0]: text for text in overrides}
    if "agent" in given:
        raise InputError(f"the agent is named before: leave out {given['agent']}")
    # Without an experiment, whose keys an agent need not have.
    words = {"experiment": "[]", "total_steps": 1, "agent": name}
    words |= {"env.id": cases.ENV_ID, "env.num_envs": cases.ENVS}
    words |= {"core": cases.CORE["name"], "core.features": 8, "core.layers": 1}
    words |= {f"agent.{key}": value for key, value in cases.small(name).items()}
    if cases.needs_model(name):
        words |= {"world_model": cases.MODEL["preset"]}
        sizes = {key: cases.MODEL[key] for key in ("widths", "latents", "classes", "head")}
        words |= {f"world_model.{key}": value for key, value in sizes.items()}
    ours = [f"{key}={value}" for key, value in words.items() if key not in given]
    if "data" in agent_config(name).__dataclass_fields__ and "agent.data" not in given:
        env_id = given.get("env.id", f"={cases.ENV_ID}").partition("=")[2]
        ours.append(f"agent.data={cases.record(env_id, folder)}")
    tiny = config.compose([*ours, *overrides])
    options = {key: value for key, value in tiny.agent.items() if key != "name"}
    steps = cases.steps_of(name, options, tiny.env.num_envs)
    return dataclasses.replace(tiny, total_steps=steps)


def _law(law: int, about: str, check: Callable, case: laws.Case, folder: Path) -> Verdict:
    if check is laws.a_mesh_changes_nothing:
        if jax.device_count() < laws.DEVICES:
            return Verdict(law, about, None, f"needs {laws.DEVICES} devices")
        if case.agent.env.num_envs % 2:
            return Verdict(law, about, None, "needs an even env.num_envs")
    extra: tuple[Any, ...] = ()
    if check is laws.resumes_from_a_checkpoint:
        extra = (folder / "checkpoints",)
    return _verdict(law, about, lambda: check(case, *extra))


def _verdict(law: int, about: str, check: Callable[[], None]) -> Verdict:
    try:
        check()
    except Exception as error:
        return Verdict(law, about, False, described(error))
    return Verdict(law, about, True)


LAWS: dict[int, tuple[str, Callable[..., None]]] = {
    1: ("it is an agent whose settings all have defaults", laws.settings_have_defaults),
    2: ("training 2N updates equals training N twice", laws.two_halves_equal_the_whole),
    3: ("so it does from a checkpoint", laws.resumes_from_a_checkpoint),
    4: ("seeds by vmap equal single ones", laws.seeds_by_vmap_equal_single_ones),
    5: ("seeds and environments on several devices too", laws.a_mesh_changes_nothing),
    6: ("batched marks the environment axis", laws.batched_marks_the_environment_axis),
    7: ("metrics are finite scalars and count right", laws.metrics_are_finite_scalars),
    8: ("greedy actions are determined, all lie in the space", laws.greedy_actions_are_determined),
    9: ("a reset forgets every carry", laws.a_reset_forgets_every_carry),
    10: ("environments do not mix", laws.environments_do_not_mix),
}

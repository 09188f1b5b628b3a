"""`rlseq check`: which laws a core, environment or agent keeps; each law finds its fault."""

import sys

import pytest

from rlseq import cli, plugins, registry
from rlseq.laws import agents as agent_laws
from rlseq.laws import check, check_agent
from rlseq.laws.check_env import check_env
from rlseq.train import build
from tests.cli.plugin_files import AGENT, CORE, ENV

TWIN = """import numpy as np


def twin(layer, params, carry, x, reset):
    h, out = np.asarray(carry, np.float64), []
    for x_t, reset_t in zip(x, reset, strict=True):
        inputs = x_t @ np.asarray(params["inputs"]["kernel"]) + np.asarray(params["inputs"]["bias"])
        h = layer.leak * np.where(reset_t[:, None], 0, h) + inputs
        out.append(h)
    return np.stack(out)
"""
STEP = "return self._add(carry, (self.inputs(x), reset))"
SCAN = "return jax.lax.scan(self._add, carry, (self.inputs(x), reset))"
CLEAR = "h = jnp.where(reset[:, None], jnp.zeros_like(h), h)"
ADD = "h = jnp.asarray(self.leak, self.dtype) * h + x"
HALF = """
        if self.dtype == "float32":
            h = h.astype("bfloat16").astype(h.dtype)
"""
# Law -> (what is replaced in the core, by what).
FAULTS = {
    1: (STEP, STEP.replace("self.inputs(x)", "self.inputs(x) + 1")),
    2: (SCAN, SCAN.replace(" carry,", " jnp.zeros_like(carry),")),
    3: (CLEAR, "pass"),
    4: (CLEAR, "h = h * (1 - reset[:, None].astype(h.dtype))"),
    5: (SCAN, SCAN.replace("return", "h, y =") + "\n        return h.astype('float16'), y"),
    6: (ADD, ADD.replace("+ x", "+ x - x.mean(0, keepdims=True)")),
    11: (SCAN, SCAN.replace("self.inputs(x)", "self.inputs(x - x.mean(0, keepdims=True))")),
    12: (ADD, ADD + " + jnp.sqrt(0 * x)"),
    13: (ADD, ADD + HALF),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder as the current one, and no trace of its plug-ins afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_allowed", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("leaky", "twins", "names", "tiny", "faulty"):
        sys.modules.pop(name, None)


def test_a_core_that_keeps_all_laws(folder, capsys):
    (folder / "leaky.py").write_text(CORE)
    (folder / "twins.py").write_text(TWIN)
    assert cli.main(["check", "core", "leaky:Leaky", "--twin", "twins:twin"]) == cli.DONE
    lines = capsys.readouterr().out.strip().split("\n")
    rows = [line.split(maxsplit=2) for line in lines if line[:2].strip()]
    verdicts = {int(row[0]): row[1] for row in rows[:-1]}
    assert verdicts == {law: "holds" for law in range(1, 14)} | {7: "not"}
    assert lines[-1] == f"{folder}/leaky.py:Leaky: of 13 laws 12 hold, 1 not checked"


@pytest.mark.parametrize("law", FAULTS)
def test_each_law_finds_its_fault(law, folder):
    right, wrong = FAULTS[law]
    assert right in CORE
    (folder / "faulty.py").write_text(CORE.replace(right, wrong))
    name = registry.take("core", "faulty:Leaky")
    found = list(check._faults(check.LAWS[law][1], name))
    assert len(found) == 1 and "\n" not in "".join(found)


LATE = """    def is_terminated(self, state, params):
        return state.time > self.max_steps

"""
# Law of environments -> (what is replaced in `Name`, by what).
WRONG_ENVS = {
    1: ("return State(state.time + 1, goal)", "return State(state.time + 0.5, goal)"),
    2: ("return State(state.time + 1, goal)", "return State(state.time, goal)"),
    3: (
        "    def start",
        "    def is_terminated(self, s, p):\n        return s.time > 4\n\n    def start",
    ),
    5: ("return state.goal", "return state.goal.astype(jnp.float32)"),
    7: ("return state.goal", "return state.goal + 1"),
    8: (".astype(jnp.float32)", ".astype(jnp.float32) * 2"),
}


def test_an_environment_that_keeps_all_laws(folder, capsys):
    (folder / "names.py").write_text(ENV)
    assert cli.main(["check", "env", "names:Name"]) == cli.DONE
    lines = capsys.readouterr().out.strip().split("\n")
    assert [line.split()[:2] for line in lines[:-1]] == [[str(n), "holds"] for n in range(1, 10)]
    assert lines[-1] == f"{folder}/names.py:Name: of 9 laws 9 hold"


@pytest.mark.parametrize("law", WRONG_ENVS)
def test_each_law_of_environments_finds_its_fault(law, folder):
    right, wrong = WRONG_ENVS[law]
    assert right in ENV
    (folder / "faulty.py").write_text(ENV.replace(right, wrong))
    verdicts = {one.law: one for one in check_env(registry.take("env", "faulty:Name"))}
    assert verdicts[law].holds is False and verdicts[law].why
    assert "\n" not in verdicts[law].why


COUNTED = "return state, training_metrics(episodes, losses)"
# Law of agents -> (what is replaced in `Tiny`, by what).
WRONG_AGENTS = {
    1: ("@dataclass(frozen=True)", "@dataclass(unsafe_hash=True)"),
    2: ("self.config.lr * paid.mean(0)", "0 * paid.mean(0)"),
    3: (
        COUNTED,
        COUNTED.replace("state,", "state._replace(updates=state.updates.astype(jnp.float32)),"),
    ),
    4: ("jax.random.split(key, 3)", "jax.random.split(jax.random.key(3), 3)"),
    5: ("return mark_batched(state)", "return jax.tree.map(lambda _: False, state)"),
    6: ("return mark_batched(state)", "return mark_batched(state)._replace(params=True)"),
    7: ('{"loss/policy": -paid.mean()}', '{"policy": -paid.mean()}'),
    8: ("if greedy else", "if False else"),
    9: ("jnp.where(reset[:, None], 0, carry)", "carry * (1 - reset[:, None].astype(jnp.float32))"),
    10: ("0.5 * carry + obs", "0.5 * carry + obs - 0.1 * obs.mean(0)[None]"),
}


def test_an_agent_that_keeps_all_laws(folder, capsys):
    (folder / "tiny.py").write_text(AGENT)
    words = ["check", "agent", "tiny:Tiny", "agent.lr=1", "env.num_envs=6"]
    assert cli.main(words) == cli.DONE
    lines = capsys.readouterr().out.strip().split("\n")
    assert [line.split()[:2] for line in lines[:-1]] == [[str(n), "holds"] for n in range(1, 11)]
    assert lines[-1] == f"{folder}/tiny.py:Tiny: of 10 laws 10 hold"


@pytest.mark.parametrize("law", WRONG_AGENTS)
def test_each_law_of_agents_finds_its_fault(law, folder):
    right, wrong = WRONG_AGENTS[law]
    assert AGENT.count(right) == 1
    (folder / "faulty.py").write_text(AGENT.replace(right, wrong))
    name = registry.take("agent", "faulty:Tiny")
    about, law_of = check_agent.LAWS[law]
    agent = build.build(check_agent.composed(name, [], folder)).agent
    if law == 1:
        verdict = check_agent._verdict(1, about, lambda: law_of(agent, type(agent).Config))
    else:
        verdict = check_agent._law(law, about, law_of, agent_laws.case(agent), folder)
    assert verdict.holds is False and verdict.why and "\n" not in verdict.why


def test_an_agent_that_cannot_be_trained_is_told(folder, capsys):
    (folder / "faulty.py").write_text(AGENT.replace("carry @ params", "carry @ params.sum()"))
    assert cli.main(["check", "agent", "faulty:Tiny"]) == cli.FAILED
    lines = capsys.readouterr().out.strip().split("\n")
    assert [line.split()[:2] for line in lines[:2]] == [["1", "holds"], ["2", "BROKEN"]]
    assert "matmul" in lines[2] and lines[3].endswith("of 2 laws 1 hold, 1 broken")


def test_a_mesh_needs_devices(folder, monkeypatch):
    (folder / "tiny.py").write_text(AGENT)
    name = registry.take("agent", "tiny:Tiny")
    case = agent_laws.case(build.build(check_agent.composed(name, [], folder)).agent)
    monkeypatch.setattr(check_agent.jax, "device_count", lambda: 1)
    verdict = check_agent._law(5, *check_agent.LAWS[5], case, folder)
    assert verdict.holds is None and verdict.why == "needs 4 devices"


@pytest.mark.parametrize("name", registry.names("agent"))
def test_every_agent_of_ours_has_a_tiny_run(name, tmp_path):
    job = build.build(check_agent.composed(name, ["core=min_gru"], tmp_path))
    assert job.config.core["name"] == "min_gru" and job.config.core["features"] == 8
    assert job.config.agent.get("num_steps", 8) == 8
    assert job.schedule.updates == 4


def test_a_twin_that_differs_is_told(folder):
    (folder / "leaky.py").write_text(CORE)
    (folder / "twins.py").write_text(TWIN.replace("layer.leak *", "0.4 *"))
    name = registry.take("core", "leaky:Leaky")
    twin = plugins.function("twins:twin")
    [fault] = check._faults(check._twin_law(twin), name)
    assert "Mismatched elements" in fault and "Max absolute difference" in fault


def test_a_broken_law_is_exit_1(monkeypatch, capsys):
    def broken(name, extra):
        raise AssertionError("as it is")

    monkeypatch.setattr(check, "LAWS", {1: ("a law", broken), 2: ("another", lambda *_: None)})
    assert cli.main(["check", "core", "gru"]) == cli.FAILED
    said = capsys.readouterr().out.split("\n")
    assert said[:4] == [
        " 1  BROKEN       a law",
        "                 as it is",
        " 2  holds        another",
        "gru: of 2 laws 1 hold, 1 broken",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["core", "gruu"], "unknown core 'gruu'. Did you mean 'gru'"),
        (["cores", "gru"], "Did you mean 'core'"),
        (["core", "gru", "agent.lr=1"], "only an agent takes settings, got agent.lr=1"),
        (["agent", "ppoo"], "unknown agent 'ppoo'. Did you mean 'ppo'"),
        (["agent", "ppo", "agent=pqn"], "the agent is named before: leave out agent=pqn"),
        (["agent", "ppo", "agent.lrr=1"], "Did you mean 'agent.lr'"),
        (["agent", "nowhere:Mine"], "there is no module 'nowhere'"),
        (["agent", "json:JSONDecoder"], "lacks Config, needs_world_model, update_steps"),
        (["env", "popgm:Name"], "unknown env 'popgm'. Did you mean 'popgym'"),
        (["env", "probe:Lek"], "Did you mean 'Leak'"),
        (["env", "probe:Leak", "--twin", "json:loads"], "--twin is of cores"),
        (["core", "nowhere:Mine"], "there is no module 'nowhere'"),
        (["core", "gru", "--twin", "json:decoder"], "json:decoder is no function"),
        (["core", "gru", "--twin", "json"], "a plug-in reads 'my_module:Mine'"),
    ],
)
def test_what_cannot_be_checked_is_named(words, said, capsys):
    assert cli.main(["check", *words]) == cli.BAD_INPUT
    assert said in capsys.readouterr().err

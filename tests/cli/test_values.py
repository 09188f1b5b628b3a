"""Any value on a command line: it builds, or one line names key, value and what is allowed."""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from rlseq import cli, config, fields, registry, schema
from rlseq.cores import STACK
from rlseq.envs import option_types
from rlseq.errors import InputError
from rlseq.train import build, loop, runs

# One environment of each form of options; emulators are in the slow test.
ENVS = (
    "popgym:RepeatPreviousEasy",
    "popgym:BattleshipEasy",
    "popgym:NoisyPositionOnlyPendulumEasy",
    "memory:ParityCurriculum",
    "meta:Projected",
    "minatar:Breakout",
    "probe:Recall",
    "gymnax:FrozenLake-misc",
    "gymnasium:FrozenLake-v1",
)
ODD = (
    *("nan", "inf", "-inf", "null", "true", "false", "", "''", "' '", "abc", "é", "'", '"', "#"),
    *("0", "-1", "1", "2", "0.5", "1.5", "-0.0", "1e-320", "1e3", "1e18", "1e20", "1e300", "1_000"),
    *("2147483648", "4294967296", "9223372036854775808", "18446744073709551616", f"1{5000 * '0'}"),
    *("[]", "[1]", "[a]", "[1.5,null]", "[[1]]", "{}", "{a: 1}", "[", "{", "(", "1,2", "a=b", "=="),
    *("../experiment/debug", "/etc/passwd", "~", "~/x", "a b", "${seed}", "${nothing}", "${", "$"),
    *("${oc.env:NO_SUCH_NAME}", "int(1)", "range(1,3)", "glob(*)", "float(x)", "\\", "a\\'b", "%"),
    *("0x10", "1e", "+1", "--1", "None", "yes", "off", "\u2028", "\x07", "😀", "null ", " 5"),
)


def refused(words: list[str]) -> str:
    """What is said on them, which must be an InputError in one line."""
    with pytest.raises(InputError) as raised:
        config.compose(words)
    (line,) = str(raised.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("total_steps=nan", "total_steps must be a whole number, got nan"),
        ("total_steps=inf", "total_steps must be a whole number, got inf"),
        ("total_steps=1e18", "total_steps must be at most 1000000000000"),
        ("core=../experiment/debug", "unknown core '../experiment/debug'. Known: aaren"),
        ("experiment=/etc/passwd", "unknown experiment '/etc/passwd'"),
        ("core@agent=gru", "write core=NAME"),
        ("core.dtype=zzz", "unknown core.dtype 'zzz'. Known: bfloat16"),
        ("core.dtype=", "unknown core.dtype ''"),
        ("core.dtype=bf16", "unknown core.dtype 'bf16'. Did you mean 'bfloat16'"),
        ("core.features=100000000", "core.features must be at most 16384, got 100000000"),
        ("core.layers=1000", "core.layers must be at most 32, got 1000 (allowed: 1 to 32)"),
        ("core.step_max=inf", "core.step_max must be a finite number, got inf"),
        ("env.options.k=abc", "env.options.k must be a whole number, got 'abc'"),
        ("env.options.k=null", "env.options.k must be a whole number, got None"),
        ("env.options.k=1.5", "env.options.k must be a whole number, got 1.5"),
        ("env.options.frame_skip=abc", "env.options.frame_skip must be a whole number"),
        ("env.options.frame_skip=1e18", "env.options.frame_skip must be at most 1000"),
        ("env.options.obs_delay=1.5", "env.options.obs_delay must be a whole number, got 1.5"),
        ("env.options.obs_mask=5", "env.options.obs_mask must be a list of whole numbers, got 5"),
        ("env.options.sticky_actions=abc", "sticky_actions must be a finite number, got 'abc'"),
        ("env.options.previous_action=abc", "previous_action must be true or false, got 'abc'"),
        ("env.options.num_envs=3", "env.options.num_envs cannot be set: write env.num_envs"),
        ("env.options.id=x", "write env.id"),
        ("env.options.name=x", "write env.id"),
        ("env.options.preset=x", "write env.preset"),
        ("env.options.debug=true", "checkify"),
        ("env.options=5", "env.options reads like env.options.k=3, got 5"),
        ("env=5", "env has keys of its own: env.KEY=VALUE"),
        ("agent.head=18446744073709551616", "agent.head must be at most 16384"),
        ("agent.lr=fast", "agent.lr must be a finite number, got 'fast' (allowed: above 0 to 10)"),
        ("agent.adam_eps=1e-320", "agent.adam_eps must be at least 1.1754944e-38"),
        *((f"agent.{key}=inf", f"agent.{key} must be a finite number, got inf") for key in
          ("lr", "clip", "value_coef", "entropy_coef", "adam_eps", "max_grad_norm", "target_kl")),
        *((f"agent.{key}=1e20", f"agent.{key} must be at most") for key in
          ("num_steps", "epochs", "warmup", "minibatches")),
        ("agent.schedule=linaer", "unknown agent.schedule 'linaer'. Did you mean 'linear'"),
        ("run.eval_episodes=1e9", "run.eval_episodes must be at most 100000, got 1000000000"),
        ("run.quiet=yes", "run.quiet must be true or false, got 'yes'"),
        ("run.loggers=tensorboard", "run.loggers must be a list of names, got 'tensorboard'"),
        ("seed=4294967296", "seed must be at most 4294967295"),
        ("seed=9223372036854775808", "seed must be at most 4294967295"),
        ("seed=18446744073709551616", "seed must be at most 4294967295"),
        ("seeds=18446744073709551616", "seeds must be at most 4096"),
        ("cor=gru", "Did you mean 'core'? Known: agent, core, env, experiment, init_from,"),
    ],
)  # fmt: skip
def test_a_value_that_its_field_does_not_allow_is_named(word, said):
    assert said in refused(["experiment=debug", word])


@pytest.mark.parametrize("key", ["widths", "channels"])
@pytest.mark.parametrize("value", ["5", "abc", "null", "[a]", "[0]", "[1.5]"])
def test_lists_of_sizes_are_lists_of_sizes(key, value):
    said = refused(["experiment=drama_debug", f"world_model.{key}={value}"])
    assert said.startswith(f"world_model.{key} must be ") and " got " in said


def test_the_last_seeds_have_keys_of_their_own_and_no_more_are_taken():
    def keys(*words: str) -> np.ndarray:
        made = build.seed_keys(config.compose(["experiment=debug", *words]))
        return np.asarray(jax.random.key_data(made))

    last = keys("seed=4294967294", "seeds=2")
    assert len(np.unique(last, axis=0)) == 2
    first = keys("seed=0", "seeds=3")
    np.testing.assert_array_equal(first, [jax.random.key_data(jax.random.key(i)) for i in range(3)])
    assert not (last == first[:2]).all(axis=1).any()
    assert "seed + seeds" in refused(["experiment=debug", "seed=4294967294", "seeds=3"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("total_steps=1e12", "updates of 64 steps: at most 2,147,483,647 are counted"),
        ("total_steps=1e11", "run.chunks = 4 makes chunks of 25,000,000,000 steps"),
    ],
)
def test_more_than_the_counters_hold_is_refused(word, said):
    with pytest.raises(InputError, match=said):
        build.build(config.compose(["experiment=debug", word]))


@pytest.mark.parametrize(
    "name",
    ["é ü/😀", "it's", 'a "b"', "#1", "a(b)", "[x]", "{y}", "1e3", "true", "007", "end ", " start",
     "a=b", "a,b", "${seed}", "$HOME", "back\\slash", "tail\\", "a:b", "null/x", "x\ty", "%", "*"],
)  # fmt: skip
def test_paths_are_taken_as_they_are_typed_and_kept_so(name, tmp_path):
    made = config.compose(["experiment=debug", f"run.dir={name}", f"run.root={name}"])
    assert made.run.dir == made.run.root == name
    (tmp_path / "config.yaml").write_text(config.to_yaml(made), encoding="utf-8")
    assert config.load(tmp_path / "config.yaml") == made


def test_a_run_lives_in_a_folder_with_any_name(tmp_path, capsys):
    folder = tmp_path / "it's #1 (a) [x] é ${seed} *?\\ end "
    small = ["experiment=debug", "core=mlp", "total_steps=256", "run.eval_episodes=0"]
    assert cli.main(["train", *small, f"run.dir={folder}", "run.quiet=true"]) == cli.DONE
    assert cli.main(["resume", str(folder), "--total-steps", "512"]) == cli.DONE
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert len(list(folder.glob("checkpoints/*512"))) == 1


def test_a_tilde_is_the_home_folder_and_null_is_no_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    made = config.compose(["experiment=debug", "run.dir=~/runs/a", "run.root=~"])
    assert (made.run.dir, made.run.root) == ("/home/somebody/runs/a", "/home/somebody")
    assert config.compose(["run.dir=~x"]).run.dir == "~x"
    assert config.compose(["run.dir=null"]).run.dir is None
    for value in ("", "\udce9", "a\0b"):
        assert "run.dir must be a path" in refused([f"run.dir={value}"])


@hypothesis.settings(deadline=None, derandomize=True, max_examples=300)
@hypothesis.given(st.text("a'\\${}\" é#(~,=[]:\n", min_size=1, max_size=8))
def test_hydra_and_yaml_give_every_text_back(text):
    from omegaconf import OmegaConf

    from rlseq import overrides

    (one,) = overrides.parse([f"key={overrides.quoted(text)}"])
    assert OmegaConf.create({"key": one.value()}).key == text


def test_all_values_of_a_sweep_are_checked_before_its_first_run(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(loop, "train", lambda config, *_: ran.append(config))
    words = ["experiment=debug", "agent.lr=1e-3,nan"]
    assert cli.main(["train", "-m", *words]) == cli.BAD_INPUT
    assert "agent.lr must be a finite number, got nan" in capsys.readouterr().err
    assert cli.main(["train", "-m", "core=gru,../experiment/debug"]) == cli.BAD_INPUT
    assert cli.main(["train", "-m", "run.dir=x", "seed=0,1"]) == cli.BAD_INPUT
    assert "name run.root" in capsys.readouterr().err and not ran


@pytest.mark.parametrize("text", ["inf", "nan", "1e30", "0", "-1", "1.5", "x", ""])
def test_counts_of_other_commands_are_positive_whole_numbers(text, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["eval", "run", "--episodes", text])
    assert left.value.code == cli.BAD_INPUT
    assert f"invalid whole number value: {text!r}" in capsys.readouterr().err


def test_a_longer_run_is_no_longer_than_counters_go():
    with pytest.raises(InputError, match="total_steps must be at most 1000000000000"):
        runs.changed(config.compose(["experiment=debug"]), 10**13, None)


def near(annotation) -> list[str]:
    """Values at the ends of what is allowed, and just beyond them."""
    declared = fields.parse(annotation)
    bounds, names = declared.range, declared.names
    if isinstance(names, fields.OneOf):
        return [f"'{name}'" for name in names.known()]
    if not bounds:
        return ["true", "false"]
    step = 1 if declared.base is int else 0.5
    ends = [bounds.low - step, bounds.low, bounds.low + step, bounds.high, bounds.high + step]
    return [f"[{end}]" if declared.base is tuple else str(end) for end in ends]


AGENTS = {
    "debug": ("ppo", "none"),
    "drama_debug": ("imagination", "drama"),
    "r2d2_debug": ("r2d2", "none"),
    "sac_debug": ("sac", "none"),
    "stream_debug": ("stream", "none"),
}


def keys_of(experiment: str, core: str, env: str) -> dict[str, object]:
    """Dotted key -> annotation, of a whole composition."""
    agent, model = AGENTS[experiment]
    keys = {}
    for kind, name in (("core", core), ("agent", agent), ("world_model", model)):
        options = schema.options_of(kind, name)
        keys |= {f"{kind}.{key}": declared for key, (declared, _) in options.items()}
    parts = (schema.EnvConfig, "env."), (schema.RunConfig, "run."), (schema.Config, "")
    for owner, part in parts:
        keys |= {f"{part}{key}": declared for key, declared in fields.of(owner).items()}
    options = option_types(env)
    return keys | {f"env.options.{key}": declared for key, declared in options.items()}


@st.composite
def command_lines(draw, envs=ENVS) -> list[str]:
    """An experiment, a core, an environment, and one to three keys with any value."""
    experiment = draw(st.sampled_from(sorted(AGENTS)))
    core = draw(st.sampled_from([*registry.names("core"), STACK]))
    env = draw(st.sampled_from(envs))
    keys = keys_of(experiment, core, env)
    words = [f"experiment={experiment}", f"core={core}", f"env.id={env}"]
    words += ["core.layers=[gru,s5]"] if core == STACK else []
    for key in draw(st.lists(st.sampled_from(sorted(keys)), min_size=1, max_size=3)):
        value = st.sampled_from(ODD) | st.sampled_from(near(keys[key]))
        value |= st.integers().map(str) | st.floats().map(str) | st.text(max_size=6)
        words.append(f"{key}={draw(value)}")
    return words


def builds_or_says_why_not(words: list[str], monkeypatch, capsys) -> bool:
    """`rlseq train WORDS`, as far as the first step: whether it got there."""
    with monkeypatch.context() as patched:
        patched.setattr(loop, "train", lambda config, *_: build.build(config))
        capsys.readouterr()
        code = cli.main(["train", *words])
    said = capsys.readouterr().err.splitlines()
    assert code in (cli.DONE, cli.BAD_INPUT), (words, said)
    if code == cli.BAD_INPUT:
        assert len(said) == 1 and said[0].startswith("rlseq: "), (words, said)
    return code == cli.DONE


PATCHED = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]
ANY = {"deadline": None, "suppress_health_check": PATCHED, "database": None}


@hypothesis.settings(max_examples=50, derandomize=True, **ANY)
@hypothesis.given(words=command_lines())
def test_any_command_line_builds_or_says_in_one_line_why_not(words, monkeypatch, capsys):
    builds_or_says_why_not(words, monkeypatch, capsys)


@pytest.mark.slow
@hypothesis.settings(max_examples=1000, **ANY)
@hypothesis.given(words=command_lines((*ENVS, "atari:Pong", "gymnasium:CartPole-v1")))
def test_any_of_a_thousand_command_lines_too(words, monkeypatch, capsys):
    builds_or_says_why_not(words, monkeypatch, capsys)

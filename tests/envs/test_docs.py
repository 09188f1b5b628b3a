"""The tables of docs/environments.md say what the environments say."""

import ast
import pathlib
import re

from rlseq import registry
from rlseq.envs import make_env
from rlseq.envs.spaces import describe
from tests.own_envs import own_ids

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "environments.md"


def rows():
    found = re.findall(r"^\| `(\w+:[\w-]+)` \|(.+)\|$", PAGE.read_text(), re.MULTILINE)
    return {env_id: [cell.strip() for cell in rest.split("|")] for env_id, rest in found}


def test_every_environment_of_ours_has_its_row():
    assert list(rows()) == sorted(rows(), key=lambda i: i.split(":")[0])
    assert set(rows()) == {
        i for i in own_ids() if not i.startswith(("gymnax:", "gymnasium:", "atari:"))
    }


def test_rows_are_true():
    for env_id, (options, obs, action, longest, end, *_) in rows().items():
        spec = make_env(env_id).spec
        assert (obs, action) == (describe(spec.obs_space), describe(spec.action_space)), env_id
        assert int(longest) == spec.max_steps
        assert ("is cut" in end) == spec.can_truncate
        given = dict(re.findall(r"`(\w+)=\"?([^`\"]+)\"?`", options))
        family, name = env_id.split(":")
        table = registry.load("env", family).table[name].options
        assert {key: str(value) for key, value in table.items()}.items() <= given.items()
        make_env(env_id, **{key: value_of(text) for key, text in given.items()})


def value_of(text):
    return text if text[0].isalpha() else ast.literal_eval(text)

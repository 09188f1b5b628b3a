"""What every registered agent keeps; see `rlseq.types.Agent`."""

import pytest

from rlseq import registry
from rlseq.agents import agent_config, make_agent
from rlseq.errors import InputError
from rlseq.laws import agents as laws
from tests.agents.registered import NAMES, add_others, case, make

pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True, scope="module")
def every_agent():
    with pytest.MonkeyPatch.context() as patch:
        add_others(patch)
        yield


def test_it_is_an_agent_with_settings_that_all_have_defaults(name):
    laws.settings_have_defaults(make(name), agent_config(name))
    assert type(registry.load("agent", name).needs_world_model) is bool
    with pytest.raises(InputError, match="unknown option of agent"):
        make_agent(name, make(name).env, no_such_option=1)


def test_two_halves_equal_the_whole_bit_for_bit(name):
    laws.two_halves_equal_the_whole(case(name))


def test_it_resumes_from_a_checkpoint_bit_for_bit(name, tmp_path):
    laws.resumes_from_a_checkpoint(case(name), tmp_path)


def test_seeds_by_vmap_equal_the_single_ones(name):
    laws.seeds_by_vmap_equal_single_ones(case(name))


def test_a_mesh_over_seeds_and_environments_changes_nothing(name):
    laws.a_mesh_changes_nothing(case(name))


def test_batched_marks_exactly_the_leaves_with_an_environment_axis(name):
    laws.batched_marks_the_environment_axis(case(name))


def test_metrics_are_finite_scalars_and_count_what_happened(name):
    agent, metrics = make(name), case(name).metrics
    laws.metrics_are_finite_scalars(case(name))
    steps = agent.steps_per_update if agent.steps_environment else 0
    assert metrics["valid_steps"] == steps  # nothing is ignored in this environment
    assert (metrics["episodes"] > 0) == agent.steps_environment


def test_greedy_actions_are_determined_and_all_lie_in_the_space(name):
    laws.greedy_actions_are_determined(case(name))


def test_a_reset_forgets_every_carry_and_nothing_else_does(name):
    laws.a_reset_forgets_every_carry(case(name))


def test_environments_do_not_mix(name):
    laws.environments_do_not_mix(case(name))

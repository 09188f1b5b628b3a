"""`rlseq plan --fit`: the largest number of environments within a memory."""

import pytest

from rlseq import config
from rlseq.cli import main
from rlseq.commands import arguments
from rlseq.errors import InputError
from rlseq.train import fit


@pytest.mark.parametrize(
    ("measure", "limit", "wanted"),
    [
        (lambda n: 100 + 10 * n, 500, 40),  # a line, met exactly
        (lambda n: 100 + 10 * n, 499, 36),  # multiples of 4 alone
        (lambda n: 100 + 10 * n, 145, 4),
        (lambda n: 100 + 10 * n, 125, 2),  # not even the configured number
        (lambda n: 100 + 10 * n + n * n // 8, 500, 28),  # bends upwards
        (lambda n: 100, 500, 4 * 262_144),  # nothing grows: what the option allows
    ],
)
def test_the_largest_multiple_within_the_limit(measure, limit, wanted):
    count, size = fit.largest(measure, 4, limit)
    assert count == wanted and size == measure(count) <= limit


def test_where_a_single_environment_does_not_fit():
    with pytest.raises(InputError, match="1 environments take"):
        fit.largest(lambda n: 10**9, 4, 10**8)


def test_programs_grow_with_their_environments_and_the_largest_fits():
    own = config.compose(["experiment=debug", "core=mlp", "agent.encoder=8", "agent.head=8"])
    sizes = {n: fit.program_bytes(own, n) for n in (4, 8)}
    limit = 2 * sizes[8] - sizes[4] + 1  # 12 environments, if it is a line
    count, size = fit.fit(own, limit)
    assert count % 4 == 0 and sizes[4] < size <= limit and count in (8, 12)


def test_a_word_after_the_option_is_no_size(capsys, monkeypatch):
    monkeypatch.setattr(fit, "fit", lambda config, limit: (config.env.num_envs, limit))
    monkeypatch.setattr("rlseq.train.memory.device_memory", lambda: 10**9)
    assert main(["plan", "--fit", "experiment=debug", "env.num_envs=6"]) == 0
    assert "6: 1 GB of 1 GB" in capsys.readouterr().out


def test_sizes_of_the_command_line(capsys):
    assert [arguments.size(text) for text in ("80GB", "1.5MB", "7")] == [80 * 10**9, 1_500_000, 7]
    with pytest.raises(SystemExit):
        main(["plan", "--fit", "much"])
    assert "invalid size value" in capsys.readouterr().err

"""The end of a run: its evaluation, and what to do next."""

import jax

from rlseq.train import episodes, evaluate, logging, runs
from rlseq.train.episodes import Protocol
from rlseq.train.play import Episodes
from rlseq.train.session import Session
from rlseq.train.stop import Watch
from rlseq.train.summary import summary
from rlseq.types import Params, PyTree


def finish(session: Session, state: PyTree, step: int) -> None:
    """Evaluate once, then print the folder and the next commands.

    Of several processes the leader plays, on a device of its own.
    """
    reporter, processes = session.reporter, session.processes
    if not processes.from_leader(lambda: evaluated(session, step)):
        params = jax.jit(jax.vmap(session.job.agent.policy_params))(state)
        params = processes.gathered(params)
        processes.from_leader(lambda: _evaluate(session, params, step))
    reporter.say(f"done: {step:,} steps, in {session.folder}")
    run = runs.in_command(session.folder, session.job.config)
    reporter.say(f"  learning curve   rlseq plot {run}")
    reporter.say(f"  play it          rlseq eval {run}")
    reporter.say(f"  train it longer  rlseq resume {run} --total-steps {2 * step}")


def evaluated(session: Session, step: int) -> bool:
    """Whether every seed has its evaluation after training; later ones do not count."""
    config = session.job.config
    rows = logging.read(session.folder / logging.EPISODES)
    seeds = range(config.seed, config.seed + config.seeds)
    found = [episodes.own_evaluation(rows, step, seed) for seed in seeds]
    return min(found) >= config.run.eval_episodes


def _evaluate(session: Session, params: Params, step: int) -> None:
    job, folder, reporter = session.job, session.folder, session.reporter
    count, indices = job.config.run.eval_episodes, list(range(job.config.seeds))
    protocol = evaluate.protocol_of(job, step, count)
    watch = Watch(
        session.stop,
        lambda progress: reporter.say(f"evaluation: {progress}"),
        f"the run is trained and saved to the end, step {step:,}; "
        f"evaluate it with: rlseq resume {runs.in_command(folder, job.config)}",
    )
    watch("training")  # a signal may have come in its last chunk
    played = evaluate.play_job(job, params, protocol, indices, count, watch=watch)
    reporter.say(record_evaluation(session, protocol, played))


def record_evaluation(session: Session, protocol: Protocol, played: Episodes) -> str:
    """Add the episodes of every seed after training to a run; their summary."""
    job = session.job
    seeds = [job.config.seed + index for index in range(job.config.seeds)]
    number = episodes.next_number(logging.read(session.folder / logging.EPISODES))
    reference = job.agent.env.spec.reference
    score = summary(played, seeds, reference, evaluate.data_scores(job))
    with logging.score_in_errors(score):
        session.logs.episodes(episodes.rows_of(number, protocol, 0, seeds, played, reference))
    return score

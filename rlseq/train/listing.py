"""Names for the command line with a line about each; nothing heavy is imported."""

import importlib.resources

from rlseq import registry
from rlseq.docstrings import first_sentence
from rlseq.errors import unknown_name

LISTS = ("cores", "envs", "experiments", "agents", "world_models")


def listing(what: str) -> list[tuple[str, str]]:
    """(name, short description) of every entry. Raises InputError for an unknown list."""
    if what == "experiments":
        return _experiments()
    if what == "envs":
        return _envs()
    if what not in LISTS:
        raise unknown_name("list", what, LISTS)
    table = dict(registry.TABLES[what.removesuffix("s")])
    if what == "cores":  # a row of the others rather than one more of them
        table["stack"] = "rlseq.cores.stack:Stack"
    return [(name, first_sentence(table[name].split(":")[0])) for name in sorted(table)]


def _envs() -> list[tuple[str, str]]:
    """Spaces, length and rewards, then what the family says about each."""
    from rlseq.envs import catalogue, env_ids, family_of

    known = catalogue.lines()
    listed = []
    for env_id in env_ids():
        about = family_of(env_id).about(env_id.partition(":")[2])
        listed.append((env_id, f"{known[env_id]}; {about}" if env_id in known else about))
    return listed


def _experiments() -> list[tuple[str, str]]:
    """The second line of an experiment's YAML says what it is; the first sets its package."""
    folder = importlib.resources.files("rlseq.configs") / "experiment"
    found = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            about = file.read_text(encoding="utf-8").split("\n")[1].removeprefix("# ")
            found.append((file.name.removesuffix(".yaml"), about))
    return found

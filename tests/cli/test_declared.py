"""Every option of everything that is registered declares its type and range."""

import dataclasses
import sys
from typing import Annotated, Any, ClassVar

import pytest

import rlseq
from rlseq import fields, registry, schema
from rlseq.cores import STACK, core_fields
from rlseq.envs import env_ids, option_types
from rlseq.errors import InputError
from rlseq.fields import Length, OneOf, Range, Text


def undeclared(options: dict[str, Any]) -> list[str]:
    """The options that do not say all that a check needs to know."""
    return [key for key, annotation in options.items() if not _says_all(annotation)]


def _says_all(annotation: Any) -> bool:
    declared = fields.parse(annotation)
    base = declared.base
    if base is tuple:
        base = declared.item
        if declared.length is None:
            return False
    if base in (int, float):
        bounds = declared.range
        return bounds is not None and abs(bounds.low) < 2**63 and abs(bounds.high) < 2**63
    return base is bool or (base is str and declared.names is not None)


def declared_of(base: str, name: str) -> dict[str, Any]:
    return {key: annotation for key, (annotation, _) in schema.options_of(base, name).items()}


@pytest.mark.parametrize("name", [*registry.names("core"), STACK])
def test_options_of_cores(name):
    assert not undeclared(declared_of("core", name))


@pytest.mark.parametrize("base", ["agent", "world_model"])
def test_options_of_agents_and_world_models(base):
    for name in registry.names(base):
        assert not undeclared(declared_of(base, name))


@pytest.mark.parametrize("family", registry.names("env"))
def test_options_of_environments(family):
    # gymnasium says of some options only that they are None, and checks them itself.
    theirs = {"gymnasium": {"render_mode", "desc"}}.get(family, set())
    for name in (one for one in env_ids(missing=True) if one.startswith(f"{family}:")):
        assert set(undeclared(option_types(name))) <= theirs, name


def test_fields_of_a_run():
    nested = {"env", "core", "agent", "world_model", "run"}
    assert set(undeclared(fields.of(schema.Config))) == nested
    assert undeclared(fields.of(schema.EnvConfig)) == ["options"]
    assert not undeclared(fields.of(schema.RunConfig))


def test_defaults_lie_within_what_is_declared():
    for base in schema.GROUPS:
        for name in schema.names_of(base):
            for key, (annotation, default) in schema.options_of(base, name).items():
                fields.check(key, annotation, default)
    for owner in (schema.EnvConfig, schema.RunConfig):
        for field in dataclasses.fields(owner):
            if field.name not in ("id", "options", "loggers", "plugins"):
                fields.check(field.name, fields.of(owner)[field.name], field.default)


def test_a_core_whose_option_declares_no_range_is_found(monkeypatch):
    import flax.linen as nn

    class Plain(nn.Module):
        hidden: ClassVar[tuple[str, ...]] = ()
        methods: ClassVar[tuple[str, ...]] = ()
        block: ClassVar[dict] = {}

        features: int
        speed: float = 1.0
        size: Annotated[int, Range(1, 4)] = 2
        dtype: str = "float32"

        def init_carry(self, batch): ...
        def __call__(self, carry, x, reset): ...
        def step(self, carry, x, reset): ...

    module = type(sys)("a_users_plain_core")
    module.Plain = Plain
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(registry.TABLES["core"], "plain", "a_users_plain_core:Plain")
    assert undeclared({key: base for key, (base, _) in core_fields("plain").items()}) == [
        "speed", "dtype",
    ]  # fmt: skip
    # What it does say is checked, and numbers are finite.
    assert rlseq.make_core("plain", 8, size=3).layers[0].size == 3
    for wrong in ({"size": 5}, {"speed": float("inf")}, {"speed": "fast"}, {"features": 0}):
        with pytest.raises(InputError, match=r"core 'plain': \w+ must be"):
            rlseq.make_core("plain", **wrong)


@pytest.mark.parametrize(
    ("annotation", "given", "read"),
    [
        (Annotated[float, Range(0, 1)], 1, 1.0),
        (Annotated[int | None, Range(1, 3)], None, None),
        (Annotated[tuple[int, ...], Length(1, 2), Range(0, 9)], [1, 2], (1, 2)),
        (Annotated[list[str], Length(1, 2), OneOf(("a", "b"))], ["a"], ("a",)),
        (Annotated[str, Text()], "x", "x"),
        (bool, True, True),
        (Any, object, object),
    ],
)
def test_values_are_read_as_their_options_take_them(annotation, given, read):
    value = fields.check("key", annotation, given)
    assert value == read and type(value) is type(read)


@pytest.mark.parametrize(
    ("annotation", "given", "said"),
    [
        (Annotated[float, Range(0, 1)], True, "key must be a finite number, got True"),
        (Annotated[float, Range(0, 1, below=True)], 1, "must be below 1, got 1"),
        (Annotated[float, Range(0, 1, above=True)], 0.0, "must be above 0, got 0.0"),
        (Annotated[float, Range(0, 1)], 10**400, "must be at most 1, got 1000"),
        (Annotated[int, Range(1, 3)], 1.0, "must be a whole number, got 1.0 (allowed: 1 to 3)"),
        (Annotated[int | None, Range(1, 3)], "a", "a whole number or null, got 'a'"),
        (Annotated[tuple[int, ...], Length(1, 2), Range(0, 9)], [], "got [] (allowed: 0 to 9;"),
        (Annotated[tuple[int, ...], Length(1, 2), Range(0, 9)], [1, 10], "must be at most 9, got"),
        (Annotated[tuple[int, ...], Length(1, 2), Range(0, 9)], "12", "list of whole numbers"),
        (Annotated[str, OneOf(("gru",), "core")], "gr", "key: unknown core 'gr'. Did you mean"),
        (int, 2**63, "must be at most 9223372036854775807"),
        (float, float("nan"), "must be a finite number, got nan"),
        (bool, 1, "must be true or false, got 1"),
        (str, 5, "must be text, got 5"),
    ],
)
def test_values_that_do_not_fit_are_named(annotation, given, said):
    with pytest.raises(InputError) as raised:
        fields.check("key", annotation, given)
    assert said in str(raised.value)

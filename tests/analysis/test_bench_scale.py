"""`rlseq bench scale`: what is read off programs, and its arithmetic."""

import json

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlseq.analysis.bench import scale
from rlseq.analysis.bench.collectives import Exchanged, exchanged


@pytest.mark.parametrize("rounds", [1, 7])
def test_collectives_in_loops_count_as_often_as_they_run(rounds):
    mesh = Mesh(jax.devices()[:2], ("env",))

    def program(x, w):
        def body(w, _):
            return w - jnp.square(x @ w).mean() * w, None

        return lax.scan(body, w, length=rounds)[0]

    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("env",), ()))
    compiled = jax.jit(program, in_shardings=(split, whole), out_shardings=whole)
    text = compiled.lower(jnp.ones((4, 3)), jnp.ones((3, 3))).compile().as_text()
    assert exchanged(text) == Exchanged(4 * rounds, rounds)  # one float32 mean a round


def test_a_program_of_one_device_exchanges_nothing():
    text = jax.jit(lambda x: x @ x).lower(jnp.ones((3, 3))).compile().as_text()
    assert exchanged(text) == Exchanged(0, 0)


def test_results_of_several_arrays_and_branches_are_added():
    text = """\
%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %c = f32[] add(%a, %b)
}
%inner (p: f32[2]) -> f32[2] {
  %g = (f32[2,3]{1,0}, bf16[4]{0}) all-reduce(%x, %y), to_apply=%sum
}
%other (p: f32[2]) -> f32[2] {
  ROOT %r = pred[5]{0} all-gather(%p)
}
ENTRY %main (p: f32[2]) -> f32[2] {
  %w = f32[2] while(%p), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %k = f32[2] conditional(%i, %p, %p), branch_computations={%inner, %other}
}
"""
    assert exchanged(text) == Exchanged(4 * (24 + 8) + 5, 5)


def test_the_estimate_is_the_formula():
    gpu = scale.Gpu(flops=1e12, share=0.5, inside=1e9, between=1e8, latency=1e-3)
    eight, more = scale.estimate(1e9, 4e6, 2, gpu)
    assert eight["compute_seconds"] == pytest.approx(2e-3)
    assert eight["exchange_seconds"] == pytest.approx(2 * 7 / 8 * 4e-3 + 2e-3)
    assert more["exchange_seconds"] == pytest.approx(2 * 63 / 64 * 4e-2 + 2e-3)
    assert eight["efficiency"] == pytest.approx(2e-3 / (2e-3 + 9e-3))


def test_rows_compare_each_round_with_one_device(tmp_path, monkeypatch):
    times = iter([1.0, 1.1, 1.5, 2.0, 2.4, 2.0, 1.0, 1.2, 1.4])

    def measured(way, words):
        return {"seconds_per_update": next(times), "exchanged_bytes": 2e3, "collectives": 3}

    monkeypatch.setattr(scale, "measured", measured)
    monkeypatch.setattr(scale, "flops_of", lambda words: 1e9)
    rows = scale.run(tmp_path / "scale", repeats=3)
    assert [row["overhead"] for row in rows] == [0, 0.2, 0.4]
    assert [row["ms_per_update"] for row in rows] == [1000, 1200, 1500]
    written = json.loads((tmp_path / "scale/scale.json").read_text())
    assert written["rows"] == rows and len(written["rounds"]) == 3 and written["assumptions"]


@pytest.mark.slow
def test_every_way_is_measured():
    words = ["experiment=debug", "total_steps=256", "run.chunks=2"]
    one, mesh, processes = (scale.measured(way, words) for way in scale.WAYS)
    assert one["steps_per_update"] == mesh["steps_per_update"] == processes["steps_per_update"]
    assert one["collectives"] == 0 < mesh["collectives"] == processes["collectives"]

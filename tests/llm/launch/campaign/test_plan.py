"""The campaign's runs: the paper's, in order of worth, found by their presets."""

import dataclasses

import pytest

from llm.config import RunConfig
from llm.launch.campaign import ENTRIES, as_preset, plan
from llm.launch.campaign.plan import select
from llm.presets import preset
from toymodel import InputError


def test_the_plan_is_the_papers_experiments_in_order_of_worth():
    runs = plan()
    assert [e.name for e in ENTRIES] == list(dict.fromkeys(run.entry for run in runs))
    assert len({run.name for run in runs}) == len({run.config.id for run in runs}) == len(runs)
    for config in (planned.config for planned in runs):
        assert (config.documents, config.vocabulary, config.precision) == ("documents.jsonl", "model", "tf32")
        assert (config.weights, config.tokenizer) in (("random", "tokenizer.json"), ("pretrained", None))
    assert {run.config.precision for run in plan(precision="ieee")} == {"ieee"}
    assert {run.entry for run in runs if run.config.weights == "pretrained"} == {"trained"}
    sizes = {run.config.model for run in select(runs, ["fig2b"])}
    assert sizes == {f"pythia-{s}" for s in ("160m", "410m", "1b", "1.4b", "2.8b")}
    assert {run.config.seed for run in select(runs, ["fig2b-1b"])} == {0, 1, 2}
    # What another entry already brought is not planned twice, and still found under both names.
    assert [run.name for run in select(runs, ["fig15-pythia"])] == [f"fig2b-1b-seed{s}" for s in range(3)]
    frozen = [run.config.freeze_blocks for run in select(runs, ["fig5"]) if run.config.freeze_blocks]
    assert set(frozen) == {6, 9, 12, 15, 18}
    assert {run.config.model for run in select(runs, ["fig5", "fig8", "fig9", "fig17"])} == {"pythia-410m"}
    assert max(run.config.num_documents for run in runs if run.entry not in ("fig18", "many")) <= 96


def test_runs_are_found_by_their_presets():
    for run in select(
        plan(), ["fig2b", "fig6", "fig3", "fig14", "fig15", "fig12", "fig4", "fig18-50", "control"]
    ):
        if run.name.startswith("fig6-adam-"):  # no preset has this order with Adam
            continue
        assert as_preset(run.config) == dataclasses.replace(
            preset(run.name.rpartition("-seed")[0] + "-random"),
            seed=run.config.seed,
            precision="tf32",
            version=2,
        )
    other = RunConfig(documents="mine.jsonl")
    assert as_preset(other) == other


def test_a_name_that_is_not_in_the_plan():
    with pytest.raises(InputError, match=r"only='fig2b-1\.4c'; .*Fix: only='fig2b-1\.4b'$"):
        select(plan(), ["fig2b-1.4c"])


def test_the_rehearsal_holds_every_kind_of_run():
    small, large = plan(rehearse=True), plan()
    assert {run.entry for run in small} <= {run.entry for run in large}
    for field in ("optimizer", "schedule", "init", "probes"):
        kinds = {getattr(run.config, field) for run in large}
        assert {getattr(run.config, field) for run in small} == kinds
    assert {run.config.model for run in small} == {"pythia-14m"}
    assert max(run.config.width for run in small) <= 64

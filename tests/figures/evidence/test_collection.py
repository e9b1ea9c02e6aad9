"""Runs are found by what they are, and packed without losing what figures need."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from figures.evidence.collection import Runs
from figures.evidence.matching import members_of
from figures.evidence.scales import scale_of
from figures.evidence.stored import pack
from llm.launch.campaign import ENTRIES, plan
from llm.presets import PRESETS, family, preset
from llm.reproduce import run_command, sweep_command
from llm.runs.finished import Run
from reawaken import main
from tests.figures.runs import write_family, write_run
from toymodel import InputError, LossMatrix


def tiny(**changes):
    return replace(preset("fig5-documents-10-small"), **changes)


def matrix(config, seed=0):
    rng = np.random.default_rng(seed)
    T = config.num_documents
    return LossMatrix.from_values(rng.random((1 + config.epochs * T, T)))


def test_a_family_is_found_by_configuration(tmp_path):
    write_family(tmp_path, "fig5-steps-small")
    (tmp_path / "notes").mkdir()
    runs = Runs.load(tmp_path)
    found = runs.family("fig5-steps", "small")
    assert (found.name, found.form, found.scale) == ("fig5-steps-small", "-small", "small")
    assert [m.preset.label for m in found.members] == ["1", "5", "10", "20"]
    assert [run.config.seed for run in found.members[0].runs] == [0, 1]
    assert (found.missing, found.differences, found.as_preset) == ((), (), True)
    assert runs.family("fig6", "small") is not None  # gradient descent is the same run
    assert runs.family("fig9", "small") is None
    assert runs.family("fig5-steps", "pythia") is None
    assert runs.families("fig5-steps") == [found]


def test_every_scale_is_found_apart(tmp_path):
    for config in (p.config for name in ("fig13-small", "fig13-random", "fig13") for p in family(name)):
        write_run(tmp_path, config, losses=matrix(config))
    found = Runs.load(tmp_path).families("fig13")
    assert [(one.scale, one.name, len(one.members)) for one in found] == [
        ("small", "fig13-small", 2),
        ("pythia", "fig13-random", 2),
        ("pretrained", "fig13", 2),
    ]
    assert [one.title for one in found] == [
        "small networks",
        "Pythia-1B, random weights",
        "Pythia-1B, pretrained",
    ]


def test_of_two_forms_the_one_with_most_members_is_taken(tmp_path):
    small, laptop = family("fig13-small"), family("fig13-embedded")
    for config in (small[0].config, small[1].config, laptop[0].config):
        write_run(tmp_path, config, losses=matrix(config))
    assert Runs.load(tmp_path).family("fig13", "small").form == "-small"
    for seed in (0, 1):
        config = replace(laptop[1].config, seed=seed)
        write_run(tmp_path, config, losses=matrix(config))
    assert Runs.load(tmp_path).family("fig13", "small").form == "-embedded"  # one run more


def test_one_member_of_several_is_left_out_where_another_scale_has_more(tmp_path):
    for config in (*(p.config for p in family("fig13-small")), family("fig13")[0].config):
        write_run(tmp_path, config, losses=matrix(config))
    runs = Runs.load(tmp_path)
    assert [one.scale for one in runs.families("fig13")] == ["small"]
    assert len(runs.family("fig13", "pretrained").members) == 1


def test_documents_depth_and_settings_of_ones_own(tmp_path):
    """Any runs that differ in what the family varies are its members; what else differs is said."""
    mine = {"documents": "news.jsonl", "tokenizer": "t.json", "selection": "seed", "optimizer": "adam"}
    for steps in (1, 5, 20, 7):
        config = replace(preset("fig5-steps-10-random"), steps=steps, model="pythia-410m", **mine)
        write_run(tmp_path, config, losses=matrix(config))
    found = Runs.load(tmp_path).family("fig5-steps", "pythia")
    assert [m.preset.label for m in found.members] == ["1", "5", "20"]
    assert [p.label for p in found.missing] == ["10"]
    assert found.differences == ("optimizer adam",)
    assert found.same_experiment
    assert not found.as_preset
    # Another total update per episode is another experiment, and so are frozen blocks in another proportion.
    assert Runs.load(tmp_path).family("fig16a", "pythia") is None
    frozen = replace(preset("fig5-frozen-12-random"), model="pythia-410m", freeze_blocks=18)
    write_run(tmp_path / "frozen", frozen, losses=matrix(frozen))
    found = Runs.load(tmp_path / "frozen").family("fig5-frozen", "pythia")
    assert [m.preset.label for m in found.members] == ["12"]


def test_groups_do_not_mix_documents_or_models(tmp_path):
    one, other = (replace(p.config, documents=f"{p.label}.jsonl") for p in family("fig13-random"))
    for config in (one, other):
        write_run(tmp_path, config, losses=matrix(config))
    assert len(Runs.load(tmp_path).family("fig13", "pythia").members) == 1


def test_the_same_name_for_other_documents_is_refused(tmp_path):
    for number, one in enumerate(family("fig13-small")):
        where = write_run(tmp_path, one.config, losses=matrix(one.config))
        manifest = json.loads((where / "manifest.json").read_text())
        manifest["tasks"] = {"sha256": f"{number}abc"}
        (where / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="name the same documents .embedded. and were trained on others"):
        Runs.load(tmp_path).family("fig13", "small")


def test_execution_and_further_probes_do_not_matter_but_missing_ones_do(tmp_path):
    wanted = preset("fig17-small")
    other = replace(wanted, device="cpu", precision="bf16", probes=("updates", "gradients"))
    write_run(tmp_path, other, losses=matrix(other))
    runs = Runs.load(tmp_path)
    assert runs.family("fig17", "small").members[0].runs[0].config == other
    assert runs.member(family("fig17-small")[0]).runs[0].config == other
    assert not runs.member(family("fig17-random")[0]).runs
    assert runs.family("fig8", "small") is None
    assert runs.family("fig8", "small", probes=("gradients",)) is not None


def test_of_equal_seeds_the_precision_of_the_others_is_taken(tmp_path):
    first, second = (p.config for p in family("fig2b")[:2])
    for config in (first, replace(first, precision="tf32"), replace(second, precision="tf32")):
        write_run(tmp_path, config, losses=matrix(config))
    found = Runs.load(tmp_path).family("fig2b", "pythia")
    assert [[run.config.precision for run in m.runs] for m in found.members] == [["tf32"], ["tf32"]]


def test_coinciding_members_count_once():
    every = [replace(m.config, seed=3) for m in family("fig5-frozen-small")]
    found = Runs(Run(config, {}, Path()) for config in every).family("fig5-frozen", "small")
    # Of 16 blocks 6, 8 and 10 are 2 of 4.
    assert [m.preset.label for m in found.members] == ["0", "4", "6", "12"]


def test_scales_follow_from_the_settings():
    assert scale_of(preset("fig1")) == "pretrained"
    assert scale_of(preset("fig1-random")) == scale_of(preset("fig3-width-256")) == "pythia"
    assert scale_of(preset("fig1-small")) == scale_of(preset("fig7b-vit-embedded")) == "small"
    assert scale_of(replace(preset("fig1-random"), model="owner/llama")) == "other"


def test_every_run_of_the_campaign_is_found():
    """As its preset's, unless the campaign changed what the preset's family varies; by Fig. 1 in any case."""
    members = {name: member for entry in ENTRIES for name, member in entry.members.items()}
    found = 0
    for run in plan():
        runs, scale = Runs([Run(run.config, {}, Path(run.name))]), scale_of(run.config)
        assert runs.family("fig1", scale).runs == list(runs)
        for preset_name, overrides in (members[name] for name in run.serves & members.keys()):
            shown = PRESETS[preset_name]
            _, fields, _ = members_of(shown.family, "")
            if set(overrides) - {"freeze_blocks"} & {*fields, "schedule"}:
                continue
            label = shown.label
            if shown.family == "fig5-frozen":  # in parts of 24 blocks
                label = str(run.config.freeze_blocks * 16 // 24)
            assert [m.preset.label for m in runs.family(shown.family, scale).members] == [label], run.name
            found += 1
    assert found > 150


def test_a_rehearsal_is_no_pythia():
    assert {scale_of(run.config) for run in plan(rehearse=True)} == {"small"}
    assert {scale_of(run.config) for run in plan()} == {"pythia", "pretrained"}


def test_a_name_that_several_runs_have_is_nobodys(tmp_path):
    for number, part in enumerate(("a", "b")):
        config = tiny(seed=number)
        write_run(tmp_path / part, config, losses=matrix(config)).rename(tmp_path / part / "mine")
    assert Runs.load(tmp_path / "b").named("mine").config.seed == 1
    with pytest.raises(InputError, match="several runs are called 'mine', in .*a and .*b"):
        Runs.load(tmp_path).named("mine")


DAMAGED = ['[{"num_documents": 5', '[{"config": {"num_documents": 5}}]', "[" * 100_000 + '"num_documents"']


@pytest.mark.parametrize("index", DAMAGED, ids=["cut", "incomplete", "deep"])
def test_an_index_of_ours_that_is_damaged_is_one_line(tmp_path, index):
    (tmp_path / "index.json").write_text("{")  # another program's
    assert len(Runs.load(tmp_path)) == 0
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(InputError, match="index.json' cannot be read") as error:
        Runs.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_packed_run_that_is_not_the_one_of_its_index_is_refused(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / "runs", tiny(seed=seed), losses=matrix(tiny()))
    pack(Runs.load(tmp_path / "runs"), tmp_path / "packed")
    one, other = sorted((tmp_path / "packed").glob("*.npz"))
    shutil.copy(one, other)
    with pytest.raises(InputError, match="holds another run than its index says"):
        print([run.losses for run in Runs.load(tmp_path / "packed")])


def test_unfinished_and_foreign_folders_are_passed_over(tmp_path):
    config = tiny()
    (write_run(tmp_path, config, losses=matrix(config)) / "losses.npz").unlink()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"colour": "blue"}')
    (other / "losses.npz").write_bytes(b"")
    assert len(Runs.load(tmp_path)) == 0
    # A run is never passed over: one of a later version, or a damaged one, is named.
    where = write_run(tmp_path, tiny(seed=5), losses=matrix(config))
    whole = (where / "config.json").read_text()
    (where / "config.json").write_text(whole.replace('"seed"', '"seeds"'))
    with pytest.raises(InputError, match="unknown field.s. .seeds."):
        Runs.load(tmp_path)
    (where / "config.json").write_text(whole[:-5])
    with pytest.raises(InputError, match="config.json"):
        Runs.load(tmp_path)
    shutil.rmtree(where)
    with pytest.raises(InputError, match="reawaken llm sweep"):
        Runs.load(tmp_path / "nowhere")


def test_packing_keeps_single_precision_exactly_and_is_the_same_every_time(tmp_path):
    config = tiny(probes=("pairwise", "updates"))
    single = LossMatrix.from_values(matrix(config).values.astype(np.float32))
    double = matrix(tiny(seed=1), 1)
    write_run(tmp_path / "runs", config, losses=single)
    write_run(tmp_path / "runs", tiny(seed=1), losses=double)
    runs = Runs.load(tmp_path / "runs")
    pack(runs, tmp_path / "one")
    pack(runs, tmp_path / "two")
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(files) == 3
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    back = {run.config.seed: run for run in Runs.load(tmp_path / "one")}
    np.testing.assert_array_equal(back[0].losses.values, single.values)
    np.testing.assert_array_equal(back[1].losses.values, double.values)
    with np.load(tmp_path / "one" / f"{config.id}.npz") as arrays:
        assert arrays["losses"].dtype == np.float32
    first = next(run for run in runs if run.config.seed == 0)
    np.testing.assert_allclose(
        back[0].probe("pairwise")["recovery"], first.probe("pairwise")["recovery"], rtol=1e-6, atol=1e-7
    )
    assert back[0].manifest["git_commit"] == "abc123"
    with pytest.raises(InputError, match="probes='pca'"):
        back[0].probe("pca")
    # What is packed no more leaves no file behind.
    pack([run for run in runs if run.config.seed == 0], tmp_path / "one")
    assert {p.stem for p in (tmp_path / "one").glob("*.npz")} == {config.id}


def test_commands_make_the_runs():
    assert sweep_command("fig6-small") == "reawaken llm sweep --presets fig6-small --seeds 0 1 2 --out runs"
    base = PRESETS["fig6-adam"]
    config = replace(base.config, seed=2, lr=0.5)
    assert run_command(config, base) == "reawaken llm run --preset fig6-adam --lr 0.5 --seed 2 --out RUN"


@pytest.mark.slow
def test_a_real_run_of_ones_own_draws_what_it_can(tmp_path):
    """From the command line alone: a run that is no preset's, its curves, its probe and its name."""
    where = tmp_path / "mine-seed0"
    settings = "--num-documents 6 --steps 3 --epochs 3 --mask-probability 0.15 --probes pairwise"
    assert main(["llm", "run", "--preset", "fig1-small", *settings.split(), "--out", str(where)]) == 0
    for runs in (where, tmp_path):
        out = tmp_path / f"out-{runs.name}"
        words = ["figures", "1", "8b", "own", "--runs", str(runs), "--out", str(out), "--formats", "png"]
        assert main(words) == 0
        assert {file.name for file in out.glob("*.png")} == {"fig1a.png", "fig1b.png", "fig8b.png", "own.png"}
        assert "mine" in (out / "own.txt").read_text()
        words = (out / "fig1a.txt").read_text()
        assert "mask probability 0.15" in words
        assert "Mean over 1 seed (mine)" in words
        # Masks are another experiment than sizes, steps or masks of 0.1.
        for figure in ("2b", "4a", "5b"):
            assert main(["figures", figure, "--runs", str(runs), "--out", str(out)]) == 2

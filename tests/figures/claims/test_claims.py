"""Claims are decided by data: known data decide them the known way."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from figures.catalogue import FIGURES, panel
from figures.claims import measures
from figures.claims.claims import evaluate, table, write_claims
from figures.claims.statements import CLAIMS
from figures.claims.verdicts import Claim, Verdict
from figures.claims.worlds import Networks, Toy
from figures.evidence.collection import Runs, recorded
from figures.evidence.lookup import MissingRuns
from llm.presets import family, preset
from tests.figures.runs import write_family, write_run
from toymodel import LossMatrix


class Made:
    """A world of made-up losses."""

    def __init__(self, scores):
        self.scores = scores

    def losses(self, family, label):
        return {seed: with_score(value) for seed, value in self.scores[label].items()}


def with_score(score, tasks=4, epochs=3):
    """A loss matrix whose recovery score is that in every epoch."""
    values = np.full((1 + tasks * epochs, tasks), 1.0)
    for episode in range(tasks * epochs):
        task = episode % tasks
        values[1 + episode, task] = 0.0
        before = episode + tasks
        if before < len(values):
            values[before, task] = 1 - score
    return LossMatrix.from_values(values)


def judge(values, **bounds):
    return Claim("1", "a statement", "a measure", lambda world: values, **bounds).judge(None)


def test_a_claim_holds_if_every_seed_says_so():
    assert judge({0: 0.1, 1: 0.2}).state == "holds"
    assert judge({0: 0.1, 1: -0.2}).state == "does not hold"
    assert judge({0: 0.1}, below=0.05).state == "does not hold"
    assert judge({}).state == "not testable here"
    lost = judge({0: math.nan, 1: 0.3})
    assert (lost.state, lost.reason) == ("holds", "1 seed(s) without a recovery score")
    assert judge({0: math.nan}).state == "not testable here"


def test_effects_are_mean_and_deviation_over_seeds():
    verdict = judge({0: 0.1, 1: 0.2, 2: 0.3})
    assert (verdict.mean, verdict.deviation) == (pytest.approx(0.2), pytest.approx(0.1))
    assert str(verdict) == "+0.20 ± 0.10 (3 seeds)"
    assert str(Verdict("holds", (0.5,))) == "+0.50 (1 seed)"


def test_gaps_pair_seeds():
    world = Made({"more": {0: 0.6, 1: 0.7, 2: 0.9}, "less": {0: 0.5, 1: 0.2}})
    found = measures.gap("any", "more", "less")(world)
    assert found == {0: pytest.approx(0.1), 1: pytest.approx(0.5)}
    assert measures.ratio("any", "less", "more")(world)[0] == pytest.approx(5 / 6)
    assert measures.least("any", ["more", "less"])(world) == {0: pytest.approx(0.5), 1: pytest.approx(0.2)}
    assert measures.spread("any", ["more", "less"])(world)[1] == pytest.approx(0.5)
    assert measures.document("any", "more")(world)[2] == pytest.approx(0.9)


def test_families_of_different_networks_are_not_compared(tmp_path):
    for config in (preset("fig16b-40-small"), replace(preset("fig1-small"), width=48)):
        write_run(tmp_path / "other", config, losses=with_score(0.5, tasks=25, epochs=5))
    for name in ("fig16b-40-small", "fig1-small"):
        write_run(tmp_path / "same", preset(name), losses=with_score(0.5, tasks=25, epochs=5))
    (claim,) = (c for c in CLAIMS if c.figure == "16b")
    assert claim.judge(Networks(Runs.load(tmp_path / "same"), "small")).values == (0.0,)
    other = claim.judge(Networks(Runs.load(tmp_path / "other"), "small"))
    assert (other.values, other.reason) == ((), "no runs")


def test_measures_of_matrices():
    T = 25
    apart = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    even = np.exp(-apart / 4.0)
    assert measures.symmetry(even, T) == pytest.approx(1)
    assert measures.near(even, T) > 0.3
    assert measures.near(1 - even, T) < -0.3
    bump = np.exp(-((np.arange(T) - 12.0) ** 2) / 20)
    assert measures.centre(np.outer(bump, bump), T) > 0.1
    assert measures.centre(1 - np.outer(bump, bump), T) < -0.1
    assert measures.positive(np.where(apart % 2, 1.0, -1.0), T) == pytest.approx(0.5, abs=0.05)
    late = np.tile(np.exp(-((np.arange(T) - (T - 13.0)) ** 2) / 4), (T, 1))
    assert measures.away(late, T) > 0.3
    assert measures.away(late[:, ::-1] * 0 + even, T) < 0.1
    inner = np.zeros((50, 50))
    inner[10:-10, 10:-10] = 1
    assert measures.border(inner, 50) == pytest.approx(1)
    phase = 2 * np.pi * np.subtract.outer(np.arange(3 * T), np.arange(3 * T)) / T
    assert measures.stripes(np.cos(phase), T) == pytest.approx(2, abs=0.05)
    assert measures.stripe_width(np.cos(phase), T) > 1.5
    states = np.r_[0, 1 + np.arange(3 * T) // T]
    rising = 0.2 * np.minimum.outer(states, states).astype(float)
    assert measures.blocks(rising, T) == pytest.approx(0.2)
    assert measures.blocks(-rising, T) == pytest.approx(-0.2)


def test_measures_of_sizes_and_paths():
    class World:
        def tasks(self, figure):
            return 10

        def sizes(self, figure):
            return {0: np.repeat([3.0, 2.0, 1.0], 10), 1: np.tile(np.linspace(1, 0, 10), 3)}

        def paths(self):
            turn = 2 * np.pi * np.arange(30) / 10
            fading = np.repeat([1.0, 0.5, 0.25], 10)
            return {0: np.stack([fading * np.cos(turn), fading * np.sin(turn), 0 * turn], axis=1)}

    assert measures.by_epoch("17a")(World()) == {0: pytest.approx(1), 1: pytest.approx(0)}
    assert measures.fall("17b")(World())[0] < -0.8
    assert measures.fall("17b")(World())[1] > -0.5
    assert measures.convergence(World()) == {0: pytest.approx(0.25)}
    assert measures.turns(World())[0] == pytest.approx(1, abs=0.1)


def test_claims_are_of_figures_and_say_what_is_measured():
    assert {claim.figure for claim in CLAIMS} <= set(FIGURES)
    statements = [claim.statement for claim in CLAIMS]
    assert len(set(statements)) == len(statements)
    for claim in CLAIMS:
        assert claim.measure
        assert claim.above < claim.below
    claimed = {claim.figure for claim in CLAIMS}
    found = {name for name, entry in FIGURES.items() if entry.found and entry.needs_runs}
    assert found <= claimed


def claims_of(figure):
    return [claim for claim in CLAIMS if claim.figure == figure]


def test_online_losses_are_compared_size_by_size():
    def course(online):
        """A loss matrix with that online loss in the second epoch."""
        values = np.ones((9, 4))
        values[[4, 5, 6, 7], [0, 1, 2, 3]] = online
        return LossMatrix.from_values(values)

    class World:
        def __init__(self, **online):
            self.online = online

        def losses(self, family, label):
            if label not in self.online:
                raise MissingRuns("no run", expected="one", fix="make it")
            return {seed: course(value) for seed, value in enumerate(self.online[label])}

    pairs = [("any", f"{size}-fixed", f"{size}-drawn") for size in ("small", "large")]
    ratios = measures.online_ratio(pairs)
    both = {"small-fixed": [0.9, 0.8], "small-drawn": [1.0, 1.0]}
    assert ratios(World(**both)) == {0: pytest.approx(0.9), 1: pytest.approx(0.8)}
    large = {"large-fixed": [0.5, 1.0], "large-drawn": [1.0, 0.5]}
    assert ratios(World(**both, **large)) == {0: pytest.approx(0.9), 1: pytest.approx(2.0)}
    with pytest.raises(MissingRuns):
        ratios(World())
    fall = measures.online_fall("any", ("small-fixed", "small-drawn"), ("large-fixed", "large-drawn"))
    assert fall(World(**both, **large)) == {0: pytest.approx(0.4), 1: pytest.approx(-1.2)}
    with pytest.raises(MissingRuns):
        fall(World(**both))


def test_claims_of_the_second_version_are_decided_by_its_runs(tmp_path):
    write_family(tmp_path, "v2-online")
    for member, score in zip(family("v2-pretraining"), (0.1, 0.2, 0.3, 0.4, 0.5), strict=True):
        write_run(tmp_path, member.config, losses=with_score(score, tasks=25, epochs=5))
    runs = Runs.load(tmp_path)
    (grows,) = claims_of("pretraining")
    verdict = grows.judge(Networks(runs, "pretrained"))
    assert (verdict.holds, verdict.values) == (True, (pytest.approx(0.4),))
    assert grows.scales == ("pretrained",)
    lower, larger = (claim.judge(Networks(runs, "pretrained")) for claim in claims_of("online"))
    toy = [claim.judge(Toy(seeds=2)) for claim in claims_of("online")]
    assert [lower.values, larger.values] == [one.values for one in toy]
    assert lower.holds
    for claim in (grows, *claims_of("online")):
        assert claim.judge(Networks(Runs([]), "pretrained")).holds is None
    figure = panel("pretraining").draw(runs)
    assert len(figure.axes[0].lines) == 5


def test_recorded_runs_decide_the_second_version_as_far_as_they_go():
    lower, larger = evaluate(recorded(), claims_of("online"))
    assert {scale: one.holds for scale, one in lower.networks.items()} == {
        "small": True, "pythia": True, "pretrained": None,
    }  # fmt: skip
    assert lower.networks["pythia"].mean == pytest.approx(0.80, abs=0.005)
    # At Pythia's sizes and with trained weights one order alone was run, of most; small networks say no.
    assert {scale: one.holds for scale, one in larger.networks.items()} == {
        "small": False, "pythia": None, "pretrained": None,
    }  # fmt: skip
    (pretraining,) = evaluate(recorded(), claims_of("pretraining"))
    assert [one.holds for one in pretraining.networks.values()] == [None, None, None]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name in ("fig5-steps", "fig8", "fig9", "fig17", "fig1"):
        write_family(root, f"{name}-small")
    return Runs.load(root)


def test_runs_of_the_toy_agree_with_the_toy(made):
    claim = next(c for c in CLAIMS if c.figure == "5b" and "more" in c.statement)
    networks, toy = claim.judge(Networks(made, "small")), claim.judge(Toy(seeds=2))
    assert networks.state == toy.state == "holds"
    assert networks.values == toy.values


@pytest.fixture(scope="module")
def judged(made):
    return evaluate(made)


def test_structure_that_was_put_in_is_found(judged):
    for one in judged:
        figure, statement = one.claim.figure, one.claim.statement
        if (
            figure in ("8c", "8d", "9", "17a", "17b")
            or "symmetric" in statement
            or "near each other" in statement
        ):
            assert one.networks["small"].holds is True, statement
        assert one.networks["pythia"].holds is None
    (pretrained,) = (one for one in judged if one.claim.figure == "2a")
    assert pretrained.networks["pretrained"].reason == "no runs"
    assert pretrained.networks["small"].reason == "not said of these"


def test_the_table_has_every_claim_with_its_verdict(judged):
    text = table(judged)
    for claim in CLAIMS:
        assert claim.statement in text
    assert "not testable here" in text
    assert "reawaken llm sweep --presets fig2a" in text


def test_claims_are_written_as_data_by_scale(judged, tmp_path):
    for name in ("one", "two"):
        write_claims(tmp_path / name, judged)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = json.loads((tmp_path / "one").read_text())
    assert len(found) == 3 * len(CLAIMS)
    assert {one["scale"] for one in found} == {"small", "pythia", "pretrained"}
    for one in found:
        assert one["holds"] in (True, False, None)
        assert (one["holds"] is None) == (one["effect"] is None) == (one["seeds"] == 0)
        assert len(one["values"]) == one["seeds"]
        if one["holds"] is not None:
            low, high = (one["above"] or -math.inf if one["above"] != 0 else 0), one["below"] or math.inf
            assert one["holds"] == all(low < value < high for value in one["values"])
    (steps,) = (o for o in found if o["claim"].startswith("more gradient steps") and o["scale"] == "small")
    assert (steps["holds"], steps["seeds"], steps["networks"]) == (True, 2, "small networks")


def test_the_recorded_runs_at_pythias_sizes_decide_what_they_can():
    """One seed each on an H100; the numbers are recomputed from the losses in test_recorded."""
    judged = evaluate(recorded(), [c for c in CLAIMS if c.figure in ("2b", "6", "control", "3a")])
    found = {one.claim.figure: one.networks["pythia"] for one in judged}
    assert {name: verdict.holds for name, verdict in found.items()} == {
        "2b": True,
        "6": True,
        "control": True,
        "3a": None,
    }
    assert found["6"].mean == pytest.approx(0.690 - 0.241, abs=1e-3)
    assert found["control"].networks == "Pythia-1B, random weights"
    assert found["control"].settings == "optimizer adam, lr 0.0001"
    assert all(len(verdict.values) <= 1 for verdict in found.values())

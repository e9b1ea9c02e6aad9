import re

import numpy as np
import pytest

from toymodel import InputError, random_tasks
from toymodel.commands import run
from toymodel.theory.analysis import analyze_data, analyze_shares
from toymodel.theory.analyze import analyze, table
from toymodel.theory.ring import ring_recovery, ring_roots


def shown(text, name):
    return next(line for line in text.splitlines() if line.strip().startswith(name))


def test_what_the_command_prints_is_the_theory(capsys):
    analyze(tasks=25, share=1 / 3)
    text = capsys.readouterr().out
    assert f"{ring_recovery(1 / 3, 2 / 3, 25)}" in shown(text, "asymptotic recovery score")
    assert "0.5 positions" in shown(text, "transport")
    assert "0.75 positions^2" in shown(text, "spread")
    assert "limit 1.04167" in shown(text, "slow step a")
    radius = abs(ring_roots(1 / 3, 2 / 3, 25)[0]) ** 25
    assert f"{radius:.6g}" in shown(text, "stability")
    assert f"{radius:.6f}" in text.partition("spectrum of one epoch")[2]
    for line in text.splitlines():
        assert len(line) < 140


def test_shares_with_similarity(capsys):
    analyze(tasks=10, slow=0.3, fast=0.2, similarity=0.5)
    similar = capsys.readouterr().out
    analyze(tasks=10, slow=0.15, fast=0.35)
    orthogonal = capsys.readouterr().out
    for name in ("asymptotic recovery score", "transport", "stability"):
        values = [re.split(r"\s{2,}", shown(text, name).strip())[1] for text in (similar, orthogonal)]
        assert values[0] == values[1]


def test_alone_it_is_figure_10_and_with_a_rate_the_problem_that_run_trains(capsys):
    analyze(share=1 / 3)
    figure = capsys.readouterr().out
    analyze()
    assert capsys.readouterr().out == figure
    analyze(rate=1e-3)
    radius = re.search(r"spectral radius of an epoch (\S+)\)", capsys.readouterr().out).group(1)
    run()
    assert f"spectral radius is {radius})" in capsys.readouterr().out


def test_a_rate_past_the_limit_diverges_and_has_no_score(capsys):
    analyze(tasks=5, rate=1.0, dim=40)
    text = capsys.readouterr().out
    assert "DIVERGES" in text
    assert "asymptotic recovery score" not in text


def test_inner_steps_enter_by_the_shares(capsys):
    analyze(tasks=8, share=0.2, inner_steps=4, fast_rate=0.3)
    text = capsys.readouterr().out
    assert f"{(0.8 * 0.7) ** 4:.6g}" in shown(text, "left unfitted")


def test_of_random_data():
    gram = random_tasks(8, 30, 1, seed=0).gram
    result = analyze_data(gram, 0.02)
    assert result.stable
    assert result.margin is None
    assert result.uneven > 0
    assert result.asymptote.score
    assert result.course[-1].value == pytest.approx(result.asymptote.score.value, abs=0.1)
    assert "for its mean similarity" in table(result)
    assert not analyze_data(gram, 1.02 * result.limit).stable
    assert analyze_data(gram, 0.98 * result.limit).stable


def test_arrival_is_where_the_course_stays():
    result = analyze_shares(9, 0.3, 0.4, tolerance=0.05)
    scores = np.array([s.value for s in result.course])
    outside = np.flatnonzero(np.abs(scores - result.asymptote.score.value) > 0.05)
    assert result.arrival == outside[-1] + 2
    assert 1 < result.arrival < len(scores)


def test_dependent_data_have_no_score_but_a_table():
    result = analyze_data(random_tasks(9, 4, 1, seed=0).gram, 0.05)
    assert "initial weights decide" in table(result)


@pytest.mark.parametrize(
    "options",
    [
        {"share": 0.3, "rate": 0.1},
        {"slow": 0.3},
        {"fast": 0.3},
        {"slow": 0.3, "fast": 0.2, "share": 0.1},
        {"share": -1.0},
        {"share": float("nan")},
        {"rate": 0.0},
        {"rate": 0.1, "similarity": 0.5},
        {"share": 0.3, "similarity": 2.0},
        {"share": 0.3, "tasks": 1},
        {"share": 0.3, "inner_steps": 0},
        {"share": 0.3, "fast_rate": 0.0},
        {"share": 0.3, "tolerance": 0.0},
        {"slow": float("inf"), "fast": 0.1},
    ],
)
def test_bad_input(options, capsys):
    with pytest.raises(InputError, match="Fix:") as error:
        analyze(**options)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""

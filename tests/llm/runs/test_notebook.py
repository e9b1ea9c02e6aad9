import llm
from figures.evidence.collection import RECORDED


def test_a_run_in_a_notebook_and_in_a_line():
    run = llm.Run.load(RECORDED / "h100" / "pythia-1b-adam-seed0")
    assert len(repr(run)) < 200
    assert "pythia-1b" in repr(run)
    html = run._repr_html_()
    assert html.count("<img") == 1
    for score in run.recovery():
        assert f"{score.value:.2f}" in html

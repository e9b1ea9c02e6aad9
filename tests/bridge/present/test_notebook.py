from bridge import Mechanism, fit
from toymodel import LossMatrix, cyclic_order, recovery_scores, share_losses


def test_a_fit_in_a_notebook_and_in_a_line():
    order = cyclic_order(6, 4)
    losses = LossMatrix(3 * share_losses(0.3, 0.5, order, variance_w=1.0), order)
    found = fit(losses, Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False))
    html = found._repr_html_()
    assert html.count("<img") == 2
    assert f"{found.r2:.3f}" in html
    for parameter in found.parameters:
        assert parameter.name in html
        assert f"{parameter.value:.3g}" in html
    for score in recovery_scores(losses):
        assert f"{score.value:.2f}" in html
    assert len(repr(found)) < 400
    assert "slow_share=" in repr(found)

"""Which fits the page has numbers for."""

from dataclasses import replace

import numpy as np
import pytest

from bridge import fit
from bridge.estimate.choice import FAMILY, FIVE, FOUR
from figures.explorer.shown import numbers_of, shown
from toymodel import InputError, LossMatrix, cyclic_order, share_losses


@pytest.fixture(scope="module")
def losses():
    order, rng = cyclic_order(6, 4), np.random.default_rng(1)
    values = 4 * share_losses(0.3, 0.5, order, variance_w=0.5) + 0.01 * rng.uniform(size=(25, 6))
    return LossMatrix(values, order)


def fitted(losses, form):
    return fit(losses, form, starts=1, intervals_by="none")


@pytest.mark.parametrize("name", FAMILY)
def test_a_form_that_bridge_chooses_has_a_number_for_each_of_its_own(losses, name):
    found = fitted(losses, FAMILY[name])
    numbers = numbers_of(found)
    uniform = FAMILY[name].sharing == "uniform"
    assert len(numbers) == len(found.parameters) + uniform
    assert numbers.get("sharedFraction") == (0.5 if uniform else None)


def test_the_fitted_fraction_is_the_page_s(losses):
    found = fitted(losses, replace(FOUR, sharing="beta"))
    value = next(p.value for p in found.parameters if p.name == "shared_fraction")
    assert numbers_of(found)["sharedFraction"] == value


@pytest.mark.parametrize(
    "form",
    [
        replace(FOUR, interference=True),
        replace(FIVE, diffusion=True),
        replace(FOUR, nearness=True),
        replace(FOUR, link="power"),
        replace(FOUR, drift="loss"),
        replace(FOUR, floor=True),
        replace(FOUR, scale="common"),
        replace(FOUR, channels=2),
    ],
    ids=lambda form: form.name,
)
def test_other_forms_are_refused_in_a_line(losses, form):
    with pytest.raises(InputError, match=r"bridge\.fit\(losses\)") as refused:
        numbers_of(fitted(losses, form))
    assert form.name in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_fit_of_several_runs_is_refused(losses):
    other = LossMatrix(losses.values + 0.01 * np.cos(losses.values), losses.order)
    found = fit([losses, other], FOUR, shared=FOUR.names, starts=1, intervals_by="none")
    with pytest.raises(InputError, match="a fit of 2 loss matrices"):
        numbers_of(found)


def test_a_run_is_shown_at_its_own_fit_only(losses):
    found = fitted(losses, FOUR)
    run = shown("mine", losses, found)
    assert run.numbers == numbers_of(found)
    assert run.scales == found.scales().tolist()
    other = LossMatrix(2 * losses.values, losses.order)
    with pytest.raises(InputError, match="a fit of other losses than those of mine"):
        shown("mine", other, found)

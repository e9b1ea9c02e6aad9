"""The page as a file: whole, the same every time, and asking for nothing."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from figures.explorer import build
from figures.explorer.build import VENDORED, explorer_html, modules
from figures.explorer.fits import EXAMPLES, recorded_runs, refit
from figures.explorer.shown import ShownRun, identifier
from toymodel import InputError, LossMatrix

NUMBERS = {"unfitted": 0.2, "slowShare": 0.4, "varianceW": 1.0, "halfPoint": 1.0}


def run_of(name="a", values=None):
    losses = LossMatrix.from_values(np.ones((5, 2)) if values is None else values)
    return ShownRun(identifier(name), name, "here", losses, NUMBERS, [1.0] * losses.tasks)


def test_equal_arguments_give_equal_bytes(page_file):
    runs = recorded_runs()
    assert page_file.read_text() == explorer_html(runs, examples=EXAMPLES)


def test_the_page_is_small_and_names_no_place_to_load_from(page_file):
    page = page_file.read_text()
    assert len(page.encode()) < 1_500_000
    # Links and notes may name addresses; nothing that loads may.
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", page)
    assert not re.search(r"url\(|@import|<link|<img|<iframe", page)
    for text in modules().values():
        assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource|innerHTML", text)


def test_its_policy_allows_its_own_scripts_and_nothing_else(page_file):
    page = page_file.read_text()
    policy = re.search(r'Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; script-src data: ")
    assert "unsafe" not in policy
    scripts = re.findall(r"<script(?: type=\"(?:importmap|module)\")?>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 3
    for text in (*scripts, *re.findall(r"<style>(.*?)</style>", page, re.DOTALL)):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_every_module_is_there_and_imports_only_what_is_there():
    known = modules()
    for name, text in known.items():
        for wanted in re.findall(r'from "([^"]+)"', text):
            assert wanted in known, f"{name} imports {wanted}"


def test_modules_import_one_way():
    known = modules()
    imports = {name: re.findall(r'from "([^"]+)"', text) for name, text in known.items()}
    assert not [
        n for n in imports if n.startswith("#toy/") and any(not m.startswith("#toy/") for m in imports[n])
    ]
    done: set[str] = set()
    while len(done) < len(imports):
        ready = {n for n in imports if n not in done and set(imports[n]) <= done}
        assert ready, f"a circle among {sorted(set(imports) - done)}"
        done |= ready


def test_names_with_markup_stay_names():
    page = explorer_html([run_of("</script><img src=x onerror=alert(1)>")])
    assert "<img" not in page
    runs = json.loads(re.search(r'id="runs">(.*?)</script>', page, re.DOTALL)[1])
    assert runs[0]["name"] == "</script><img src=x onerror=alert(1)>"
    assert runs[0]["id"] == "script-img-src-x-onerror-alert-1"


def test_losses_survive_the_way():
    values = np.random.default_rng(1).uniform(0, 9, (7, 3))
    told = run_of(values=values).to_json()
    back = np.frombuffer(base64.b64decode(told["losses"]), dtype="<f4").reshape(7, 3)
    np.testing.assert_array_equal(back, values.astype(np.float32))
    assert told["order"] is None
    order = [[1, 0, 2], [2, 0, 1]]
    other = ShownRun("b", "b", "here", LossMatrix(values, np.array(order)), NUMBERS, [1.0] * 3).to_json()
    assert other["order"] == [1, 0, 2, 2, 0, 1]


def test_two_runs_of_one_name_are_refused():
    with pytest.raises(InputError, match="same name"):
        explorer_html([run_of("a"), run_of("a")])


def test_a_vendored_file_that_was_changed_is_refused(monkeypatch, tmp_path):
    for name in VENDORED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((build.VENDOR / name).read_bytes() + b" ")
    monkeypatch.setattr(build, "VENDOR", tmp_path)
    with pytest.raises(InputError, match="not the file that was vendored"):
        explorer_html()


def test_stored_numbers_are_those_of_the_recorded_runs(monkeypatch, tmp_path):
    """What is embedded is what fitting gives: all of it again, and compared."""
    from figures.explorer import fits

    stored = json.loads(fits.STORE.read_text())
    wanted = [
        one for one in fits.offered(fits.recorded()) if one[0] in ("pythia-1b-adam-seed0", "fig1-small")
    ]
    monkeypatch.setattr(fits, "offered", lambda runs: iter(wanted))
    again = refit(tmp_path / "fits.json")
    assert json.loads((tmp_path / "fits.json").read_text()) == again
    assert set(again) == {"pythia-1b-adam-seed0", "fig1-small"}
    for name, found in again.items():
        assert found["losses"] == stored[name]["losses"]
        assert found["r2"] == pytest.approx(stored[name]["r2"], abs=1e-4)
        for number, value in found["numbers"].items():
            assert value == pytest.approx(stored[name]["numbers"][number], rel=1e-3)


def test_offered_runs_have_their_numbers():
    """A page is written in a second because few, if any, have to be fitted first."""
    from figures.explorer import fits

    stored = json.loads(fits.STORE.read_text())
    offered = {key: fits._digest(run.losses) for key, _, run in fits.offered(fits.recorded())}
    assert set(stored) <= set(offered)
    fresh = [key for key, losses in offered.items() if key in stored and stored[key]["losses"] == losses]
    assert len(fresh) >= 0.8 * len(offered), "python -m figures.explorer.fits"


def test_numbers_of_other_losses_are_not_shown(monkeypatch, tmp_path):
    from figures.explorer import fits

    stored = json.loads(fits.STORE.read_text())
    right = stored["fig6-adam-small"]["numbers"]
    stored["fig6-adam-small"] |= {"losses": "0" * 16, "numbers": dict.fromkeys(right, 0.5)}
    (tmp_path / "fits.json").write_text(json.dumps(stored))
    monkeypatch.setattr(fits, "STORE", tmp_path / "fits.json")
    shown = next(run for run in recorded_runs() if run.id == "fig6-adam-small")
    assert shown.numbers == pytest.approx(right, rel=1e-3)

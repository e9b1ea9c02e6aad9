"""Files dropped on the page in a real browser: good ones shown and fitted, bad ones refused in a sentence."""

import base64
import io

import numpy as np
import pytest

import toymodel as tm
from figures.evidence.collection import RECORDED
from tests.figures.explorer.browser import opened, settled, table, tile

pytestmark = pytest.mark.browser

# What drops a file on the page, as a hand does.
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
    document.body.dispatchEvent(new DragEvent(kind, how));
  }
}"""


def drop(page, name, data):
    page.evaluate(DROP, [name, base64.b64encode(data).decode()])
    page.wait_for_function(
        "() => !/fitting|leaves it nowhere/.test(document.getElementById('file-said').textContent)"
    )
    settled(page)
    return page.locator("#file-said").inner_text()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def toy_matrix(tasks=8, epochs=4):
    order = tm.cyclic_order(tasks, epochs)
    x = tm.share_losses(0.8 * 0.4, 0.8 * 0.6, order, variance_w=1.0)
    return 3 * (1 + 0.5) * x / (x + 0.5), order


@pytest.mark.parametrize("kind", ["npz", "npy", "csv"])
def test_a_good_file_is_shown_and_fitted(chromium, page_file, kind):
    values, order = toy_matrix()
    data = {
        "npz": lambda: npz(losses=values, order=order, meta=np.array("{}")),
        "npy": lambda: npy(values),
        "csv": lambda: "\n".join(",".join(map(repr, row)) for row in values.tolist()).encode(),
    }[kind]()
    with opened(chromium, page_file) as page:
        said = drop(page, f"losses.{kind}", data)
        assert "Your file: 8 documents, 4 epochs" in said
        assert float(tile(page, "R² over all losses")) > 0.999
        assert float(page.locator("#number-slowShare input.value").input_value()) == pytest.approx(
            0.4, rel=0.02
        )
        assert float(page.locator("#number-unfitted input.value").input_value()) == pytest.approx(
            0.2, rel=0.02
        )
        expected = tm.recovery_scores(tm.LossMatrix(values, order))
        assert [row[4] for row in table(page)[:3]] == [f"{score.value:.2f}" for score in expected]
        assert page.locator("#matrix .map:visible").count() == 3
        page.wait_for_timeout(400)
        assert "own-" not in page.evaluate("location.hash")  # no link can carry a file


def test_a_run_folder_can_be_dropped(chromium, page_file):
    """By the browser's own drag and drop, since no script can make up a folder."""
    with opened(chromium, page_file) as page:
        session = page.context.new_cdp_session(page)
        files = [str(RECORDED / "h100" / "pythia-1b-adam-seed0")]
        data = {"items": [], "files": files, "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 300, "data": data})
        page.wait_for_selector("text=Your file: 25 documents, 5 epochs")


def test_a_file_can_be_chosen_with_the_keyboards_dialogue_too(chromium, page_file):
    values, order = toy_matrix()
    with opened(chromium, page_file) as page:
        page.set_input_files(
            "#file", {"name": "losses.npz", "mimeType": "", "buffer": npz(losses=values, order=order)}
        )
        page.wait_for_selector("text=Your file: 8 documents")
        settled(page)
        assert tile(page, "R² over all losses") != ""


def nan_matrix():
    values, _ = toy_matrix()
    values = values.copy()
    values[3, 2] = np.nan
    return npy(values)


BAD = {
    "nan": ("a.npy", nan_matrix, "row 3, column 2 is NaN"),
    "transposed": ("a.npy", lambda: npy(toy_matrix()[0].T), "transpose it"),
    "pickled": ("a.npy", lambda: npy(np.array([{}, 1], dtype=object)), "pickled"),
    "cut": ("losses.npz", lambda: npz(losses=toy_matrix()[0])[:-40], "damaged"),
    "empty": ("a.csv", lambda: b"", "empty"),
    "kind": ("photo.png", lambda: b"\x89PNG", "kind is not known"),
    "words": ("a.csv", lambda: b"1,2\n3,<img src=x onerror=alert(1)>\n", "no number"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gets_one_sentence(chromium, page_file, case):
    name, data, words = BAD[case]
    with opened(chromium, page_file) as page:
        before = page.locator("#tiles").inner_text()
        said = drop(page, name, data())
        assert said.startswith(f"{name}: ")
        assert words in said
        assert len(said) < 300
        assert page.locator("#tiles").inner_text() == before  # what was shown stays


def test_hostile_names_are_text(chromium, page_file):
    name = "<img src=x onerror='document.title=1'>\"&.npy"
    values, _ = toy_matrix()
    with opened(chromium, page_file) as page:
        title = page.title()
        said = drop(page, name, npy(values))
        assert said.startswith(name)
        assert name in page.locator("#run").inner_text()
        assert page.locator("img").count() == 0
        assert page.title() == title
        assert drop(page, "<script>x</script>.png", b"").startswith("<script>x</script>.png: ")

"""``reawaken figures``: the figures of the paper, and those of the theory, as PNG and vector PDF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tyro

from toymodel.base.errors import InputError
from toymodel.base.files import atomic_write, check_output_folder
from toymodel.base.words import arg

__all__ = ["COMMANDS", "figures"]


def figures(
    names: tyro.conf.Positional[tuple[str, ...]] = (),
    runs: Path | None = None,
    out: Path = Path("out/figures"),
    formats: tuple[str, ...] = ("png", "pdf"),
) -> None:
    """Draw figures and write each as PNG and vector PDF, with a caption.

    A figure whose runs are missing is left out, with the command that makes them. All figures together come
    with gallery.html, which shows them beside what the paper found, and claims.json, the verdicts as data.

    Args:
        names: Figures to draw, e.g. 5a 8 11 theory; all of them if none are named.
        runs: Folder of network runs, of a campaign's too; the recorded results if not given.
        out: Folder for the files, made if it is not there.
        formats: Kinds of file to write.
    """
    from figures.catalogue import FIGURES, caption, choose, render
    from figures.claims.claims import evaluate, write_claims
    from figures.evidence.collection import Runs, recorded
    from figures.evidence.lookup import MissingRuns
    from figures.pages.gallery import write_gallery
    from figures.style import FORMATS, png_bytes, save_figure

    for name in formats:
        if name not in FORMATS:
            raise InputError(
                f"format {name!r}",
                expected="some of " + ", ".join(FORMATS),
                fix=arg("formats", ("png", "pdf")),
            )
    check_output_folder(out)
    chosen = choose(names)
    found = recorded() if runs is None else Runs.load(runs)
    pictures, missing = {}, []
    for name in chosen:
        stem = f"fig{name}" if name[0].isdigit() else name
        try:
            figure, words = render(name, found), caption(name, found)
        except MissingRuns as error:
            missing.append(error)
            continue
        # Layout moves a little with every drawing: PNG comes first, whatever else is asked for.
        pictures[name] = png_bytes(figure)
        written = save_figure(figure, out / stem, [kind for kind in formats if kind != "png"])
        if "png" in formats:
            written.insert(0, out / f"{stem}.png")
            with atomic_write(written[0]) as picture:
                picture.write(pictures[name])
        with atomic_write(out / f"{stem}.txt", "w") as file:
            file.write(words)
        for path in written:
            print(f"{path}   {FIGURES[name].title}")
    whole = not names or "all" in names
    nothing = not whole and len(missing) == len(chosen)
    for absent in missing[nothing:]:  # the first of nothing but such is raised
        print(absent)
    if whole:
        judged = evaluate(found)
        write_claims(out / "claims.json", judged)
        print(f"{out / 'claims.json'}   the paper's claims, judged at every scale")
        write_gallery(out / "gallery.html", found, pictures, judged)
        print(f"{out / 'gallery.html'}   all figures beside what the paper found")
    elif nothing:
        raise missing[0]


COMMANDS: dict[str, Callable[..., None]] = {"": figures}

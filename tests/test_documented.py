"""Every command of README.md and of the pages under docs/ works as it stands there.

Commands run in the order of their page, in an empty folder of its own, so that one finds what another has
made. What would take minutes gets further flags, or stands for something smaller, by the tables below; what
can't run here is in a table too, with the reason. Nothing is left out otherwise.
"""

import dataclasses
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import llm
import reawaken
from llm.data.corpus import train_tokenizer
from tests.documented import PAGES, ROOT, commands, snippets
from tests.llm.given import texts

FEW = "--num-documents 3 --steps 1 --epochs 2"
TINY = f"{FEW} --context 8 --width 16 --depth 1 --heads 2 --feed-forward 16"
EMBEDDED = "--weights random --documents embedded"

# Further flags by what a command begins with; the last that is given counts, and the first rule that fits.
SMALLER = [
    (r"reawaken llm run .*--dry-run", ""),
    (r"reawaken llm run .*fig7a-small", f"{FEW} --model embedded {EMBEDDED}"),
    (r"reawaken llm run .*fig7b-v\w\w( |$)", f"{FEW} --model embedded-vit {EMBEDDED}"),
    (r"reawaken llm run .*fig7b-vit-embedded", f"{FEW} --batch 2"),
    (r"reawaken llm run .*\.gguf", f"{TINY} --model embedded {EMBEDDED}"),
    (r"reawaken llm run .*--order", TINY.replace("--num-documents 3", "")),
    (r"reawaken llm run ", f"{TINY} {EMBEDDED}"),
    (r"reawaken llm sweep ", "--dry-run"),
    (r"reawaken compare .*--run", ""),
    (r"reawaken compare", f"{TINY} --epochs 3 --num-documents 4"),
    (r"reawaken toy sweep ", "--rate 0.0001:0.003:10 --similarity 0:0.9:3"),
    (r"python3? -m bridge\.(studies|orders)\.", "--help"),
    (r"python3? -m llm\.launch\.campaign (run|rehearse) ", "--device cpu --budget 0.5 --only fig9"),
    (r"python3? benchmarks/gpu\.py", "--help"),
    (r"python docs/draw_architecture\.py", "--out architecture.png"),
    (r"python docs/draw_explorer\.py", "--help"),
    (r"python -m figures\.explorer\.fits", "--out fits.json"),
    (r"make ", "--dry-run"),
]

_CAMPAIGN = "--out /tmp/campaign --documents runs/campaign-documents.jsonl"
# What stands for a command: shorter, or with what this machine has.
INSTEAD = {
    "reawaken figures all --out out/figures": "reawaken figures 6 10 --out out/figures",
    "reawaken figures all": "reawaken figures 10 --out out/all",
    f"python3 -m llm.launch.campaign run {_CAMPAIGN} --budget 8":
        f"python3 -m llm.launch.campaign rehearse {_CAMPAIGN}",
}  # fmt: skip

NOT_HERE = [
    (r"source ", "changes the shell it is typed in"),
    (r"pip install ", "needs the package registry; what is installed here came by it"),
    (r"python3? -m pytest ", "the tests themselves"),
    (r"node ", "tests/figures/explorer/test_javascript.py runs these, where node is installed"),
    (r"reawaken llm prefetch --documents cnn_dailymail ", "downloads from a hub"),
    (r"reawaken record\b", "trains recorded runs again, which takes minutes to hours"),
    (r"tar ", "packs what the campaign on a GPU has collected"),
    (r"python3? -m llm\.launch\.campaign collect ", "collects a campaign; a rehearsal is never collected"),
]

SHAPE = {
    "width": 16, "depth": 1, "heads": 2, "feed_forward": 16, "context": 8, "num_documents": 5, "steps": 1,
    "epochs": 5,
}  # fmt: skip
PLACEHOLDERS = ("RUN", "OTHER")


def rule(words):
    """What is done with a command: the words that are run, or why none are."""
    line = " ".join(words)
    if any(re.match(pattern, line) for pattern, _ in NOT_HERE):
        return None
    if line in INSTEAD:
        words = INSTEAD[line].split()
        line = INSTEAD[line]
    more = next((flags for pattern, flags in SMALLER if re.match(pattern, line)), "")
    return [*words, *shlex.split(more or "")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small finished run, for what pages call RUN."""
    config = llm.RunConfig(model="embedded", optimizer="adam", lr=3e-3, **SHAPE)
    return llm.run(config, tmp_path_factory.mktemp("runs") / "RUN").path


@pytest.fixture
def place(tmp_path, finished, monkeypatch):
    """An empty folder in which the repository's own files have their places, and placeholders are runs."""
    for name in PLACEHOLDERS:
        (tmp_path / name).symlink_to(finished)
    for name in (
        "benchmarks",
        "figures",
        "docs/gpu-campaign.md",
        "docs/draw_architecture.py",
        "docs/draw_explorer.py",
        "tests",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    own_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    # Pages speak of /tmp; here everything stays in one folder.
    return tmp_path


def own_files(place):
    """What docs/data.md supposes that its reader has: texts, a table, a corpus, a tokenizer and losses."""
    stories = texts(8, words=80)
    (place / "texts" / "more").mkdir(parents=True)
    for number, story in enumerate(stories):
        (place / "texts" / ("more" if number % 2 else ".") / f"doc{number}.txt").write_text(story)
    table = "".join(f'{number},"{story}"\n' for number, story in enumerate(stories))
    (place / "articles.csv").write_text(f"title,body\n{table}")
    (place / "FILE.txt").write_text("\n".join(stories))
    train_tokenizer(stories).save(str(place / "tokenizer.json"))
    losses = llm.Run.load(place / "RUN").losses.values
    np.savetxt(place / "losses.csv", losses, delimiter=",")
    log = np.exp(np.random.default_rng(0).normal(size=75))  # of docs/which-order.md
    (place / "train.log").write_text("".join(f"iter {n}: loss {v:.4f}\n" for n, v in enumerate(log)))


def run(words, place, capsys):
    """Run a command; what it said, and whether it went well."""
    words = [word.replace("/tmp/", f"{place}/tmp/") for word in words]
    if words[0] == "reawaken":
        code = reawaken.main(words[1:])
        plt.close("all")
        said = capsys.readouterr()
        return code, said.out + said.err
    if words[0].startswith("python"):
        words = [sys.executable, *words[1:]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    where = ROOT if words[0] == "make" else place
    done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_works(page, place, capsys):
    for command in commands(page):
        words = rule(command.words)
        if words is None:
            continue
        blank = any(re.fullmatch(r"[A-Z]{2,}", word) and word not in PLACEHOLDERS for word in words)
        bare = blank or not any(word.startswith("--") for word in words)
        if bare and not command.shown and words[0] != "make":
            # Named in a sentence, without what it needs.
            words = [*itertools.takewhile(lambda word: not word.startswith("--"), words), "--help"]
        code, said = run(words, place, capsys)
        assert code == 0, f"{command}\nran as {shlex.join(words)}\n{said[-2000:]}"


def test_every_rule_is_for_a_command_that_is_shown():
    lines = {" ".join(command.words) for page in PAGES for command in commands(page)}
    for pattern, _ in [*SMALLER, *NOT_HERE]:
        assert any(re.match(pattern, line) for line in lines), pattern
    assert set(INSTEAD) <= lines


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page)], ids=lambda page: page.name)
def test_python_on_a_page_runs(page, place, monkeypatch):
    whole = llm.run

    def smaller(config, out, **options):
        return whole(dataclasses.replace(config, **SHAPE), out, **options)

    monkeypatch.setattr(llm, "run", smaller)
    for snippet in snippets(page):
        exec(compile(snippet, page.name, "exec"), {"__name__": "snippet"})
    plt.close("all")


def test_pages_have_commands():
    counted = {page.name: len(commands(page)) for page in PAGES}
    assert counted["README.md"] > 15
    assert sum(counted.values()) > 40
    assert Path("README.md").name in counted

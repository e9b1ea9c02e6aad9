"""Messages: the library speaks Python, the command line flags that its parser has, both from one error."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import tyro

import bridge
import llm.commands
import reawaken
from llm import RunConfig, preset
from llm.data.documents import load_documents
from llm.presets import family
from tests.rooms import FILES
from toymodel import InputError, LossMatrix, random_tasks, simulate

FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# Whole commands for a shell are the same wherever they are read.
SHELL = ("reawaken ", "pip ")


def words(call):
    """String constants in the arguments of a call, without commands; those of `either` are such."""
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        inside = list(ast.walk(argument))
        commands = {
            id(n)
            for c in inside
            if isinstance(c, ast.Call) and getattr(c.func, "id", "") == "either"
            for n in ast.walk(c)
        }
        for node in inside:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in commands:
                yield node.value


# They take flags, write commands or style sheets, and raise nothing with one all the same.
FLAGS_BY_TRADE = re.compile(
    r".*commands?|llm\.(defaults|reproduce|collect|vision\.pair)|bridge\.(studies|orders)\..*|toymodel\.base\.words"
    r"|figures\.(catalogue|explorer\.fits|pages\.gallery)|bridge\.present\.html_page"
)


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_message_is_written_with_flags(name):
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and "InputError" in ast.unparse(n.func)]
    said = [word for call in calls for word in words(call)]
    if not FLAGS_BY_TRADE.fullmatch(name):
        described = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        said += [
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in described
        ]
    assert not [word for word in said if FLAG.search(word) and not any(shell in word for shell in SHELL)]


def test_a_flag_in_a_message_would_be_found():
    call = ast.parse('InputError(f"--lr {x}", expected="", fix=either("run()", "go --now"))').body[0].value
    assert [w for w in words(call) if FLAG.search(w)] == ["--lr "]


def config(**changes):
    return lambda: RunConfig(**changes)


def losses(values):
    return LossMatrix(np.array(values, dtype=float), np.array([[0, 1]]), {})


SETTINGS = [
    config(lr=0), config(lr="fast"), config(epochs=2.5), config(num_documents=1), config(steps=0),
    config(seed=-1),
    config(schedule="palindrome", epochs=1), config(schedule="given"), config(schedule="iid", order="[[0]]"),
    config(order="[[0,1]]", num_documents=2, epochs=3), config(order="[[0,", num_documents=2),
    config(optimizer="lion"), config(optimizer="adam", weight_decay=0.1), config(weight_decay=-1),
    config(window="program", window_shift=200), config(shuffle_until=99), config(probe_documents=(99,)),
    config(batch=4, task="language"), config(evaluate_summaries=True, task="classification"),
    config(weights_file="w.pth", task="classification"), config(probes=("nothing",)), config(version=3),
]  # fmt: skip
OTHERS = [
    lambda: preset("fig6-adan"),
    lambda: preset("fig2b"),
    lambda: family("fig99"),
    lambda: load_documents(RunConfig(documents="nowhere.jsonl")),
    lambda: load_documents(RunConfig(documents="nowhere/else", num_documents=2)),
    lambda: load_documents(RunConfig(num_documents=10**6)),
    lambda: load_documents(RunConfig(tokenizer="nothing.json")),
    lambda: LossMatrix.load("nowhere"),
    lambda: LossMatrix.load(Path(__file__).parent),
    lambda: bridge.fit(losses([[2, 2], [1, 2], [2, 1]])),
    lambda: bridge.fit(losses([[2, 2], [2, 2], [2, 2]])),
    lambda: bridge.fit(losses([[2, 2], [1, 2], [2, 1]]), starts=0),
    lambda: bridge.fit(losses([[2, 2], [1, 2], [2, 1]]), starts=1.5),
    lambda: bridge.find(losses([[2, 2], [1, 2], [2, 1]])),
    lambda: bridge.report(losses([[2, 2], [1, 2], [2, 1]])),
    lambda: bridge.forecast(np.ones((3, 2))),
    lambda: LossMatrix.mean([]),
    lambda: LossMatrix.mean([np.ones((3, 2))]),
    lambda: losses([[2, 2], [1, 2], [2, 1]]).first_epochs(0.5),
    lambda: random_tasks(3, 4, seed=-1),
    lambda: bridge.Mechanism(drift="sideways"),
    lambda: simulate(random_tasks(3, 4), "identity", rate=0, epochs=1),
    lambda: simulate(random_tasks(3, 4), "identity", rate=9, epochs=1),
]


def raised(action):
    with pytest.raises(InputError) as caught:
        action()
    return caught.value


@pytest.mark.parametrize("number", range(len(SETTINGS) + len(OTHERS)))
def test_python_reads_no_flags(number):
    assert not FLAG.search(str(raised([*SETTINGS, *OTHERS][number])))


def options(function):
    with pytest.warns(DeprecationWarning, match="get_parser"):
        parser = tyro.extras.get_parser(function, config=(tyro.conf.OmitArgPrefixes,))
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_the_command_line_reads_flags_that_its_parser_has(number):
    command = llm.commands.COMMANDS["run"].function
    error = raised(SETTINGS[number]).in_flags(reawaken._by_argument(command, llm.commands.NAMED))
    assert FLAG.search(error.problem)
    named = set(FLAG.findall(str(error)))
    assert named
    assert named <= options(command)
    # Nothing of Python is left: no field is followed by an equals sign.
    assert not re.search(r"\b[a-z_]+=(?!=)", error.fix)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["llm", "run", "--lr", "0"], r"--lr 0.0; .* Fix: --lr 0.001$"),
        (["llm", "run", "--preset", "fig2b"], r"Fix: --preset fig2b-160m$"),
        (["llm", "run", "--scale-lr", "--task", "classification", "--evaluate-summaries"],
         r"--evaluate-summaries with --task classification; .* Fix: --no-evaluate-summaries, or --task"),
        (["llm", "run", "--preset", "embedded", "--task", "classification"], r"Fix: --context 256, or"),
        (["llm", "run", "--probes", "pca", "--probe-documents", "0", "99"], r"--probe-documents 0 99;"),
        (["llm", "run", "--order", "[[0,1]]"], r"Fix: --epochs 1 --num-documents 2$"),
        (["llm", "sweep", "--vary", "lr=fast", "--out", "x"], r"--vary lr=fast; .* Fix: --vary lr=...$"),
        (["llm", "show", "nowhere"], r"Fix: reawaken llm run --out nowhere starts one$"),
        (["toy", "run", "--fast-rate", "0"], r"--fast-rate 0.0; .* Fix: --fast-rate 1.0$"),
        (["toy", "sweep", "--dim", "0"], r"--dim 0"),
        (["fit", "nowhere"], r"reawaken llm run --out runs/first$"),
        (["compare", "--seeds", "0"], r"--seeds 0; .* Fix: --seeds 1$"),
    ],
)  # fmt: skip
def test_one_error_in_the_words_of_a_command(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reawaken.main(argv) == 2
    said = capsys.readouterr().err
    assert re.search(message, said.strip()), said

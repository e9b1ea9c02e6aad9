"""Logs as people keep them: what is read is the training loss, or nothing."""

import json

import numpy as np
import pytest

from bridge.orders.logs import read_log
from toymodel import InputError, LossMatrix

LOSSES = np.round(np.exp(1 - np.arange(40) / 40 + 0.1 * np.random.default_rng(0).normal(size=40)), 5)


def lines(form):
    return "".join(form(n, v) + "\n" for n, v in enumerate(LOSSES.tolist()))


LOGS = {
    "alone.txt": lines(lambda n, v: f"{v}"),
    "headed.txt": "loss\n" + lines(lambda n, v: f"{v}"),
    "steps.txt": lines(lambda n, v: f"{n} {v}"),
    "rate.csv": "step,loss,lr\n" + lines(lambda n, v: f"{n},{v},0.001"),
    "both.csv": "step,train_loss,val_loss\n" + lines(lambda n, v: f"{n},{v},{1.0 if n % 10 == 0 else ''}"),
    "parts.csv": "step,loss,aux_loss\n" + lines(lambda n, v: f"{n},{v},0.5"),
    "sparse.csv": "step,train_loss\n" + lines(lambda n, v: f"{n},{v}\n{n},"),
    "tabs.tsv": "loss\tseconds\n" + lines(lambda n, v: f"{v}\t12"),
    "lines.jsonl": json.dumps({"run": "a"})
    + "\n"
    + lines(lambda n, v: json.dumps({"step": n, "loss": v, "lr": 0.1})),
    "nanogpt.log": "tokens per iteration will be: 491,520\nstep 0: train loss 4.1, val loss 4.2\n"
    + lines(lambda n, v: f"iter {n}: loss {v}, time 120.5ms, mfu -100.00%"),
    "trainer.log": lines(lambda n, v: str({"loss": v, "grad_norm": 1.5, "epoch": 0.1}))
    + "{'train_runtime': 3.0, 'train_loss': 9.9}\n",
    "equals.log": lines(lambda n, v: f"[{n}/40] train_loss={v} lr=1e-3"),
}


@pytest.mark.parametrize("name", LOGS)
def test_losses_are_found(name, tmp_path):
    file = tmp_path / name
    file.write_text(LOGS[name])
    found = read_log(file)
    np.testing.assert_array_equal(found.losses, LOSSES)
    assert found.source


def test_arrays_and_loss_matrices(tmp_path):
    np.save(tmp_path / "log.npy", LOSSES)
    np.testing.assert_array_equal(read_log(tmp_path / "log.npy").losses, LOSSES)
    matrix = LossMatrix.from_values(np.random.default_rng(0).uniform(1, 2, (13, 4)))
    matrix.save(tmp_path / "run.npz")
    np.save(tmp_path / "matrix.npy", matrix.values)
    np.savetxt(tmp_path / "matrix.csv", matrix.values, delimiter=",")
    for name in ("run.npz", "matrix.npy", "matrix.csv"):
        np.testing.assert_allclose(read_log(tmp_path / name).losses.values, matrix.values)


NONSENSE = {
    "empty.txt": ("", "is empty"),
    "words.txt": ("hello world\nthis is no log\n", "no column of a loss among hello, world"),
    "binary.txt": (b"\x80\x81\xff", "is no text"),
    "three.txt": ("1 2.0 0.1\n2 1.9 0.1\n", "line 1 of .* is '1 2.0 0.1'"),
    "three.csv": ("1,2.0,0.1\n2,1.9,0.1\n", "line 1 of .* is '1 2.0 0.1'"),
    "losses.csv": ("step,main_loss,aux_loss\n1,2,3\n", r"several of a loss \(aux_loss, main_loss\)"),
    "later.txt": ("1.0\nnot a number\n", "line 2 of"),
    "ragged.csv": ("step,loss\n1,2.0\n2\n", "line 3 of .* 2 columns"),
    "real.txt": ("0.5 2.0\n1.0 1.9\n", "a whole number before the loss"),
    "cut.jsonl": ('{"loss": 1.0}\n{"loss": 1.\n', "line 2 of .* JSON object"),
    "other.jsonl": ('{"step": 1}\n{"step": 2}\n', "no column of a loss"),
    "text.jsonl": ('{"loss": "high"}\n{"loss": 1}\n', "line 1 of .* is 'high'"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nothing_is_guessed(name, tmp_path):
    content, says = NONSENSE[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says) as error:
        read_log(tmp_path / name)
    assert "\n" not in str(error.value)


def test_missing(tmp_path):
    with pytest.raises(InputError, match="no log"):
        read_log(tmp_path / "none.txt")
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    with pytest.raises(InputError, match="real numbers"):
        read_log(tmp_path / "words.npy")

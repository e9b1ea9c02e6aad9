"""Probes with real runs: they change no loss, survive a stop anywhere, and measure what they say."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from llm import RunConfig, run
from llm.networks.models import build_model
from llm.probes import cosines, principal_components, window_residuals
from tests import oracles
from toymodel import InputError

ALL = ("gradients", "pairwise", "residuals", "pca", "activations", "updates")
CONFIG = RunConfig(
    width=32, depth=2, heads=2, feed_forward=48, num_documents=4, context=16, steps=2, epochs=3,
    optimizer="adam", lr=1e-3, probes=ALL, probe_documents=(0, 2),
)  # fmt: skip
STATES = 1 + CONFIG.epochs * CONFIG.num_documents


class Recorder:
    """Keeps all weights and documents' activations in memory, the plain way."""

    def __init__(self, stop_after=None):
        self.weights, self.output, self.seen, self.stop_after = [], [], [], stop_after

    def start(self, run):
        self.after_episode(run, 0)

    def after_episode(self, run, episode):
        flat = [p.detach().flatten().double() for p in run.model.parameters()]
        self.weights.append(torch.cat(flat).numpy().copy())
        self.output.append(run.model.get_output_embeddings().weight.detach().double().numpy().ravel().copy())
        with torch.no_grad():
            hidden = []
            for document in run.config.probe_documents:
                run.adapter.load(document)
                states = run.model.base_model(run.adapter.inputs).last_hidden_state[0]
                hidden.append(states[run.adapter.counted()].double().numpy().ravel())
            self.seen.append(hidden)
        if episode == self.stop_after:
            raise OSError("the machine went down")

    def close(self):
        pass


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    recorder = Recorder()
    folder = tmp_path_factory.mktemp("runs") / "observed"
    return run(CONFIG, folder, trackers=[recorder]), recorder


def test_losses_are_those_of_a_run_without_probes(observed, tmp_path):
    plain = run(dataclasses.replace(CONFIG, probes=()), tmp_path / "run")
    np.testing.assert_array_equal(observed[0].losses.values, plain.losses.values)


def test_everything_is_written_and_nothing_else_left(observed):
    done = observed[0]
    assert sorted(p.stem for p in (done.path / "probes").iterdir()) == sorted(ALL)
    assert not (done.path / "checkpoint").exists()


def test_residuals(observed):
    done, recorder = observed
    found, weights = done.probe("residuals"), np.array(recorder.weights)
    ref = oracles.window_residuals(weights[1:], CONFIG.num_documents)
    np.testing.assert_allclose(found["norms"], np.linalg.norm(ref, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found["cosines"], cosines(ref @ ref.T), atol=1e-6)
    assert found["whole_window"].tolist() == [False, False] + [True] * (STATES - 4) + [False]
    assert str(found["layer"]) == "all"


def test_principal_components(observed):
    done, recorder = observed
    found, output = done.probe("pca"), np.array(recorder.output)
    centred = output[1:] - output[1:].mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found["coordinates"]), np.abs(left * values)[:, :3], atol=1e-6)
    np.testing.assert_allclose(found["explained"], (values**2 / (values**2).sum())[:3], rtol=1e-6)
    assert found["gram"].shape == (STATES, STATES)
    assert str(found["layer"]) == "lm_head"
    again, _ = principal_components(found["gram"][1:, 1:])
    np.testing.assert_array_equal(again, found["coordinates"])


def test_activations(observed):
    done, recorder = observed
    found = done.probe("activations")
    assert found["documents"].tolist() == [0, 2]
    for k in range(2):
        states = np.array([hidden[k] for hidden in recorder.seen])
        np.testing.assert_allclose(found["cosines"][k], cosines(states @ states.T), atol=1e-6)


def test_sizes_of_updates(observed):
    done, recorder = observed
    found = done.probe("updates")
    steps = np.linalg.norm(np.diff(np.array(recorder.weights), axis=0), axis=1)
    np.testing.assert_allclose(found["weights"], steps, rtol=1e-5)
    for k in range(2):
        moves = np.linalg.norm(np.diff(np.array([hidden[k] for hidden in recorder.seen]), axis=0), axis=1)
        np.testing.assert_allclose(found["activations"][:, k], moves, rtol=1e-4)


def test_gradients_of_the_trained_network(observed):
    done, recorder = observed
    found = done.probe("gradients")
    assert str(found["layer"]) == "gpt_neox.layers.1.attention"
    model = build_model(CONFIG, 1024)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(recorder.weights[-1]).float(), model.parameters())
    from llm.tasks.language import language_adapter

    adapter = language_adapter(CONFIG, torch.device("cpu"))
    adapter.model.load_state_dict(model.state_dict())
    layer = list(adapter.model.gpt_neox.layers[1].attention.parameters())
    ref = oracles.gradient_gram(adapter.model, adapter, CONFIG.num_documents, layer)
    np.testing.assert_allclose(found["gram"], ref, rtol=0, atol=1e-5 * np.abs(ref).max())


def test_pairwise_of_the_trained_network(observed):
    found = observed[0].probe("pairwise")
    np.testing.assert_allclose(found["before"], observed[0].losses.values[-1], rtol=1e-6)
    assert np.diag(found["recovery"]).min() > 0


@pytest.mark.parametrize("episode", [1, 6, 11, 12])
def test_probes_go_on_after_the_machine_went_down(observed, tmp_path, monkeypatch, episode):
    folder = tmp_path / "run"
    with pytest.raises(OSError, match="went down"):
        run(CONFIG, folder, trackers=[Recorder(stop_after=episode)])
    # What was being written then may be cut short: states after the newest checkpoint do not count.
    states = sorted((folder / "checkpoint" / "trajectories" / "all").iterdir())
    states[-1].write_bytes(states[-1].read_bytes()[:100])
    again = run(CONFIG, folder)
    np.testing.assert_array_equal(again.losses.values, observed[0].losses.values)
    for name in ALL:
        ref, comp = observed[0].probe(name), again.probe(name)
        assert ref.keys() == comp.keys()
        for key in ref:
            np.testing.assert_array_equal(comp[key], ref[key], err_msg=f"{name}/{key}")


def test_a_run_that_has_lost_a_state_begins_anew_and_says_so(tmp_path, observed, capsys):
    with pytest.raises(OSError, match="went down"):
        run(CONFIG, tmp_path, trackers=[Recorder(stop_after=6)])
    (tmp_path / "checkpoint" / "trajectories" / "lm_head" / "000000.f32").unlink()
    capsys.readouterr()
    done = run(CONFIG, tmp_path)
    assert "beginning" in capsys.readouterr().err
    whole, _ = observed
    np.testing.assert_array_equal(done.losses.values, whole.losses.values)
    np.testing.assert_array_equal(done.probe("pca")["gram"], whole.probe("pca")["gram"])


def test_one_layer_is_kept_once(tmp_path):
    config = dataclasses.replace(CONFIG, probes=("residuals", "pca"), probe_layer="gpt_neox.layers.0.mlp")
    with pytest.raises(OSError, match="went down"):
        run(config, tmp_path, trackers=[Recorder(stop_after=2)])
    assert [p.name for p in (tmp_path / "checkpoint" / "trajectories").iterdir()] == [config.probe_layer]
    done = run(config, tmp_path)
    np.testing.assert_array_equal(done.probe("pca")["gram"], done.probe("residuals")["gram"])
    gram = done.probe("pca")["gram"][1:, 1:]
    np.testing.assert_allclose(cosines(window_residuals(gram, 4)), done.probe("residuals")["cosines"])


@pytest.mark.parametrize("probe", ["gradients", "residuals", "pca"])
def test_a_wrong_layer_is_said_before_anything_is_written(tmp_path, probe):
    config = dataclasses.replace(CONFIG, probes=(probe,), probe_layer="gpt_neox.layer.1.mlp")
    with pytest.raises(InputError, match=r"Fix: probe_layer='gpt_neox\.layers\.1\.mlp'$"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("probe", ["residuals", "activations"])
def test_a_small_disk_is_said_before_anything_is_written(tmp_path, monkeypatch, probe):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="GB free"):
        run(dataclasses.replace(CONFIG, probes=(probe,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_probes_with_variations_and_carried_moments(tmp_path):
    config = dataclasses.replace(
        CONFIG, mask_probability=0.3, window_shift=4, reset_optimizer=False, probe_documents=(1,)
    )
    plain = run(dataclasses.replace(config, probes=()), tmp_path / "plain")
    done = run(config, tmp_path / "run")
    np.testing.assert_array_equal(done.losses.values, plain.losses.values)
    # Nothing random in what is measured: the documents as they are evaluated.
    np.testing.assert_allclose(done.probe("pairwise")["before"], done.losses.values[-1], rtol=1e-6)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["episode"] for line in lines] == list(range(1, STATES))

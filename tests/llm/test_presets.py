"""A small version of every preset, run, and what distinguishes it shown by the run itself."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from llm import PRESETS, RunConfig, family, preset, run
from tests.llm.given import texts
from toymodel import InputError, schedule

KEEPS_STEPS = {"fig5-steps", "fig13", "fig16a", "fig16b"}
KEEPS_DOCUMENTS = {"fig12"}


@pytest.fixture(scope="module")
def news(tmp_path_factory):
    """Enough documents for a schedule of 25, longer than every window."""
    file = tmp_path_factory.mktemp("news") / "news.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(40, words=130)))
    return file


@pytest.fixture
def tiny(news, checkpoint):
    """The same experiment with what it varies kept, and everything else as small as can be."""

    def shrink(name):
        one = PRESETS[name]
        config = one.config
        small = {
            "model": "embedded", "weights": "random", "documents": str(news), "tokenizer": str(checkpoint),
            "width": (config.width or 2048) // 64, "depth": (config.depth or 16) // 4,
            "heads": config.heads or 2, "feed_forward": 16, "freeze_blocks": config.freeze_blocks // 4,
            "context": config.context // 16 or 2, "window_shift": config.window_shift // 4,
            "epochs": 1 if one.family in KEEPS_STEPS else 2, "device": "cpu",
        }  # fmt: skip
        if one.family not in KEEPS_STEPS:
            small["steps"] = 1 if one.family in KEEPS_DOCUMENTS else 2
        if one.family not in KEEPS_DOCUMENTS:
            small["num_documents"] = max(3, config.num_documents // 10)
        return dataclasses.replace(config, **small)

    return shrink


class Spy:
    """Notes weights before and after, and what every gradient step saw."""

    def __init__(self):
        self.steps = []

    def start(self, view):
        self.view = view
        self.before = {name: p.detach().clone() for name, p in view.model.named_parameters()}
        load = view.adapter.load

        def noted(task, episode=None, step=0):
            load(task, episode, step)
            if episode is not None and episode < view.order.size:
                self.steps.append((task, episode, step, view.adapter.inputs[0].numpy().copy()))

        view.adapter.load = noted

    def after_episode(self, view, episode):
        pass

    def close(self):
        self.after = {name: p.detach().clone() for name, p in self.view.model.named_parameters()}

    @property
    def documents(self):
        return self.view.adapter.documents


def stochastic(spy):
    """Whether the steps of some episode saw different tokens."""
    seen = {}
    for _, episode, _, tokens in spy.steps:
        seen.setdefault(episode, set()).add(tuple(tokens))
    return any(len(tokens) > 1 for tokens in seen.values())


def check_mask(one, config, spy, result):
    part = config.mask_probability
    assert part == float(one.label)
    hidden = []
    for task, _, _, tokens in spy.steps:
        own = spy.documents.tokens[task]
        changed = tokens != own
        assert (tokens[changed] == 0).all()
        hidden.append(changed.mean())
    # Even if all steps had drawn the largest part, so many tokens would hardly ever be hidden.
    count = len(spy.steps) * config.context
    assert np.mean(hidden) <= part + 5 * np.sqrt(part * (1 - part) / count)
    assert (np.mean(hidden) > 0) == (part > 0)


def check_shift(one, config, spy, result):
    assert config.window_shift == int(one.label) // 4
    for task, _, _, tokens in spy.steps:
        stored = spy.documents.stored[task]
        places = [
            s for s in range(config.window_shift + 1)
            if np.array_equal(stored[s : s + config.context], tokens)
        ]  # fmt: skip
        assert places, "no window within the shift gives these tokens"
    assert stochastic(spy) == (config.window_shift > 0)


def check_frozen(one, config, spy, result):
    assert config.freeze_blocks == int(one.label) // 4
    for name, tensor in spy.before.items():
        block = int(name.split("layers.")[1].split(".")[0]) if "layers." in name else None
        frozen = block is not None and block < config.freeze_blocks
        assert torch.equal(tensor, spy.after[name]) == frozen, name


def check_middle(one, config, spy, result):
    until, order = int(one.label), result.losses.order
    assert (order[:, 0] == 0).all()
    assert (order[:, until:] == np.arange(until, 25)).all()
    for epoch in order:
        assert sorted(epoch) == list(range(25))
    assert not np.array_equal(order[0, 1:until], order[1, 1:until])


def check_control(one, config, spy, result):
    order = result.losses.order
    tasks = order.shape[1]
    whole = all(sorted(epoch) == list(range(tasks)) for epoch in order)
    repeats = np.array_equal(order[0], order[1])
    in_order = np.array_equal(order[0], np.arange(tasks))
    expected = {"cyclic": (True, True, True), "shuffled-once": (True, True, None),
                "reshuffled": (True, None, None), "iid": (None, None, None)}[one.label]  # fmt: skip
    for found, wanted in zip((whole, repeats, in_order), expected, strict=True):
        assert wanted in (None, found)
    assert config.schedule == one.label


def check_probes(one, config, spy, result):
    assert config.probes == one.config.probes != ()
    for name in config.probes:
        arrays = result.probe(name)
        numbers = [a for a in arrays.values() if a.dtype.kind == "f"]
        assert numbers
        assert any(np.isfinite(a).any() for a in numbers), name
    if "pairwise" in config.probes:
        tasks = config.num_documents
        assert any(a.shape == (tasks, tasks) for a in result.probe("pairwise").values())


def check_rate(one, config, spy, result):
    assert config.rate * config.steps == pytest.approx(0.01)
    assert config.rate == pytest.approx({1: 0.01, 5: 0.002, 10: 0.001, 20: 0.0005}[int(one.label)])
    check_steps(one, config, spy, result)


def check_steps(one, config, spy, result):
    assert len(spy.steps) == int(one.label) * result.losses.episodes


def check_optimizer(one, config, spy, result):
    adam = one.label in ("adam", "embedded")
    kept = spy.view.step.optimizer.state()
    assert bool(kept) == adam
    if adam:
        # Reset at every document: no count of steps goes past one episode's.
        assert {int(v) for k, v in kept.items() if k.endswith("step")} == {config.steps}


def check_size(one, config, spy, result):
    assert one.config.model == f"pythia-{one.label}"
    assert (one.config.weights == "pretrained") == (one.family == "fig2a")


def check_init(one, config, spy, result):
    spread = spy.before["gpt_neox.embed_in.weight"].std().item()
    expected = 0.02 if one.label == "normal" else np.sqrt(2 / (5 * config.width))
    assert spread == pytest.approx(expected, rel=0.05)


def architecture(spy):
    return spy.view.model.config


def check_width(one, config, spy, result):
    assert architecture(spy).hidden_size == config.width == int(one.label) // 64
    # As in the program the feed-forward size stays.
    assert one.config.feed_forward is None


def check_reversed(one, config, spy, result):
    first, last = result.losses.order[0], result.losses.order[-1]
    assert np.array_equal(first, np.arange(len(first)))
    swapped = np.concatenate([part[::-1] for part in np.split(first, range(2, len(first), 2))])
    assert np.array_equal(last, swapped if one.label == "reversed" else first)


def check_order(one, config, spy, result):
    """Trained in the order that the label ends with; or, of decay, with weights that decay."""
    if one.label == "decay":
        assert (config.optimizer, config.weight_decay) == ("adamw", 2.0)
        return
    assert one.label.endswith(config.schedule)
    expected = schedule(config.schedule, config.num_documents, config.epochs, config.seed)
    np.testing.assert_array_equal(result.losses.order, expected)


CHECKS = {
    "embedded": check_optimizer,
    "fig1": lambda one, *rest: check_reversed(dataclasses.replace(one, label="cyclic"), *rest),
    "fig2a": check_size,
    "fig2b": check_size,
    "fig3-width": check_width,
    "fig3-depth": lambda one, c, spy, r: architecture(spy).num_hidden_layers == int(one.label) // 4 or fail(),
    "fig4-mask": check_mask,
    "fig4-shift": check_shift,
    "fig5-documents": lambda one, c, s, r: r.losses.tasks == max(3, int(one.label) // 10) or fail(),
    "fig5-steps": check_steps,
    "fig5-context": lambda one, c, s, r: s.documents.tokens.shape[1] == int(one.label) // 16 or fail(),
    "fig5-frozen": check_frozen,
    "fig6": check_optimizer,
    "fig8": check_probes,
    "fig9": check_probes,
    "fig9-orders": lambda *given: (check_order(*given), check_probes(*given)),
    "fig12": check_middle,
    "fig13": lambda one, c, s, r: (c.lr, len(s.steps)) == (float(one.label), r.losses.episodes) or fail(),
    "fig14": lambda one, c, spy, r: architecture(spy).num_attention_heads == int(one.label) or fail(),
    "fig15": check_init,
    "fig16a": check_rate,
    "fig16b": check_steps,
    "fig17": check_probes,
    "fig18": check_probes,
    "sec4": check_reversed,
    "control": check_control,
    "v2-online": check_order,
    "v2-pretraining": lambda one, c, s, r: c.revision == one.label or fail(),
    "orders": check_order,
    "crossing": check_order,
}


def fail():
    pytest.fail("the run is not what the preset says")


@pytest.mark.parametrize("name", [name for name, one in PRESETS.items() if one.config.task == "language"])
def test_a_small_version_runs_and_shows_what_distinguishes_it(name, tiny, tmp_path):
    one, config, spy = PRESETS[name], tiny(name), Spy()
    result = run(config, tmp_path / "run", trackers=[spy])
    assert result.losses.values.shape == (1 + config.epochs * config.num_documents, config.num_documents)
    assert len(spy.steps) == config.steps * result.losses.episodes
    CHECKS[one.family](one, config, spy, result)


def test_defaults_are_the_papers():
    config = preset("fig1")
    paper = RunConfig(num_documents=25, context=256, steps=10, epochs=5, optimizer="sgd", lr=1e-3)
    assert config == dataclasses.replace(
        paper, model="pythia-1b", weights="pretrained", documents="cnn_dailymail"
    )
    for one in family("fig6"):
        assert (one.config.model, one.config.weights) == ("pythia-1b", "random")


def test_every_figure_of_the_language_side_is_there():
    figures = {one.figure for one in PRESETS.values() if one.config.task == "language"}
    assert figures - {""} == {
        "1", "2a", "2b", "3a", "3b", "4a", "4b", "5a", "5b", "5c", "5d", "6", "8", "9", "12", "13", "14",
        "15", "16a", "16b", "17", "18", "section 4", "v2",
    }  # fmt: skip


def test_members_of_a_family_are_different_runs_that_vary_one_thing():
    for one in PRESETS.values():
        members = family(one.family)
        assert len({m.config.id for m in members}) == len(members)
    varied = {d.split(":")[0] for d in preset("fig5-steps-1").differences(preset("fig5-steps-20"))}
    assert varied == {"steps"}


def test_forms_by_suffix_need_no_download():
    for name, one in PRESETS.items():
        if one.config.task != "language":
            continue
        assert one.needs_download == (one.config.weights == "pretrained"), name
        for suffix in ("-random", "-embedded"):
            config = preset(name + suffix)
            assert (config.weights, config.documents) == ("random", "embedded"), name
    small = [one.config for one in family("fig3-width-embedded")]
    assert [config.width for config in small] == [24, 48, 96, 192]
    assert {config.model for config in small} == {"embedded"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("fig6-adm", "Fix: preset='fig6-adam'"), ("fig6", "is a family.*fig6-adam, fig6-gd")],
)
def test_unknown_presets_are_one_line(name, words):
    with pytest.raises(InputError, match=words):
        preset(name)

import numpy as np
import pytest
import xarray

import toymodel.maps as maps
from toymodel import (
    InputError,
    LossMatrix,
    cyclic_order,
    expected_losses,
    growth,
    moment_losses,
    random_gram,
    random_tasks,
    rate_limit,
    recovery_scores,
    sample_moments,
    shares,
    simulate,
    sweep,
)
from toymodel.maps import from_functions

ALL = ("recovery", "peaks", "final", "losses")


def measures(losses):
    """What a sweep records, from a loss matrix."""
    flat, first = losses.order.ravel(), []
    visits = np.flatnonzero(flat == 0)
    for one, two in zip(visits[:-1], visits[1:], strict=True):
        first.append(losses.values[one + 1 : two + 1, 0].max())
    return {
        "recovery": [s.value for s in recovery_scores(losses)],
        "peaks": first,
        "final": losses.values[-1],
        "losses": losses.values,
    }


def uniform(T, N, rho):
    return N / 3 * ((1 - rho) * np.eye(T) + rho)


def compare(point, losses):
    for name, ref in measures(losses).items():
        comp = point[name].values
        comp = comp[tuple(slice(n) for n in np.shape(ref))]
        np.testing.assert_allclose(comp, ref, rtol=1e-8, atol=1e-9 * losses.values.max())


def test_expected_points_are_expected_losses():
    data = sweep(
        {"tasks": [3, 5], "rate": [0.01, 0.03], "rho": [0.0, 0.3], "map": ["identity", "reflection"],
         "inner_steps": 3, "fast_rate": 0.6, "dimension": 30, "embedding": 7},
        epochs=4, record=ALL,
    )  # fmt: skip
    assert data.sizes == {"tasks": 2, "rate": 2, "rho": 2, "map": 2, "interval": 3, "task": 5, "row": 21}
    for T in (3, 5):
        for rho in (0.0, 0.3):
            for name in ("identity", "reflection"):
                ref = expected_losses(
                    uniform(T, 30, rho), dimension=7, rate=0.03, epochs=4, inner_steps=3, fast_rate=0.6,
                    variance_p=1 / 900, variance_y=0.0 if name == "identity" else 1 / 3, variance_w=1 / 3,
                )  # fmt: skip
                point = data.sel(tasks=T, rho=rho, map=name, rate=0.03)
                compare(point, ref)
                if T == 3:
                    assert np.isnan(point["final"][3:]).all()


def test_shares_and_orders_and_a_gram_matrix():
    gram, order = random_gram(4, 20, seed=1), np.array([[3, 1, 0, 2], [0, 0, 1, 2], [2, 3, 1, 0]])
    data = sweep(
        {"rate": [0.02, 0.05], "map": [maps.affine(2.0)], "tasks": 4},
        gram=gram,
        order=order,
        epochs=3,
        record=ALL,
    )
    ref = expected_losses(gram, dimension=1000, rate=0.05, epochs=3, variance_p=1e-6, variance_y=1 / 3,
                          variance_w=1 / 3, slopes=2.0, order=order)  # fmt: skip
    for name in ("final", "losses"):
        np.testing.assert_allclose(
            data[name].sel(rate=0.05).values[0], measures(ref)[name], rtol=1e-9, atol=1e-9
        )
    for n, score in enumerate(recovery_scores(ref)[:2]):
        np.testing.assert_allclose(data["recovery"].values[1, 0, n], score.value, rtol=1e-8)
    data = sweep(
        {"A": [0.2, 0.4], "B": [0.5], "tasks": 4, "variance_w": 0.0, "rho": 0.5}, record=ALL, epochs=3
    )
    S = np.diag([1000 / 3 * 1e-6 * 1000 / 2] * 4 + [1000 / 3 * 1e-6 * 1000 / 2])
    values = moment_losses(S, 0.4 * 0.5, 0.5 + 0.4 * 0.5, cyclic_order(4, 3))
    compare(data.isel(A=1, B=0), LossMatrix.from_values(values))


def test_sampled_and_simulated_points():
    data = sweep({"seed": [3, 4], "rate": [0.01], "dimension": 40, "tasks": 5}, kind="sampled", record=ALL,
                 epochs=3)  # fmt: skip
    S = sample_moments(uniform(5, 40, 0), 40, variance_p=1 / 1600, variance_w=1 / 3, seed=4)
    a, b = shares(0.01 * 40 / 3)
    compare(data.sel(seed=4, rate=0.01), LossMatrix.from_values(moment_losses(S, a, b, cyclic_order(5, 3))))
    data = sweep({"seed": [3, 4], "rate": 0.01, "map": ["leaky", "reflection"], "dimension": 20, "tasks": 4},
                 kind="simulated", record=ALL, epochs=3)  # fmt: skip
    for name in ("leaky", "reflection"):
        ref = simulate(random_tasks(4, 20, seed=3), name, rate=0.01, epochs=3).losses
        compare(data.sel(seed=3, map=name), ref)


@pytest.mark.parametrize("kind", ["expected", "sampled", "simulated"])
def test_results_do_not_depend_on_threads(kind):
    parameters = {"rate": np.linspace(0.001, 0.02, 9), "seed": [1, 2], "dimension": 15, "tasks": 4}
    one, two = (sweep(parameters, kind=kind, record=ALL, epochs=3, threads=n) for n in (1, 2))
    assert one.identical(two)


def test_samples_go_together():
    data = sweep({"rate": [0.001, 0.002, 0.003], "tasks": [3, 4, 5]}, samples=True, epochs=3)
    grid = sweep({"rate": [0.001, 0.002, 0.003], "tasks": [3, 4, 5]}, epochs=3)
    assert data["recovery"].dims == ("point", "interval")
    assert data["tasks"].values.tolist() == [3, 4, 5]
    diagonal = np.array([grid["recovery"].values[k, k] for k in range(3)])
    assert np.array_equal(data["recovery"].values, diagonal, equal_nan=True)


def test_file_and_resume(tmp_path, monkeypatch):
    parameters = {"rate": np.linspace(0.001, 0.02, 40), "rho": [0.0, 0.1], "dimension": 30, "tasks": 4}
    whole = sweep(parameters, epochs=3, record=ALL)
    import toymodel.sweeps.points

    module = __import__("toymodel.sweeps.sweep", fromlist=["BLOCK"])
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
    real, calls = toymodel.sweeps.points.block_function, []

    def stops_after(number):
        def make(plan, threads):
            block = real(plan, threads)

            def counted(start, stop, outputs):
                if len(calls) == number:
                    raise KeyboardInterrupt
                calls.append(start)
                block(start, stop, outputs)

            return counted

        return make

    path = tmp_path / "deep" / "s.nc"
    monkeypatch.setattr(toymodel.sweeps.points, "block_function", stops_after(2))
    with pytest.raises(KeyboardInterrupt):
        sweep(parameters, epochs=3, record=ALL, path=path)
    assert not path.exists()
    with pytest.raises(InputError, match="another sweep"):
        sweep({**parameters, "tasks": 5}, epochs=3, record=ALL, path=path)
    monkeypatch.setattr(toymodel.sweeps.points, "block_function", stops_after(99))
    data = sweep(parameters, epochs=3, record=ALL, path=path, progress=True)
    assert calls == [0, 16, 32, 48, 64]  # none of them twice
    assert data.identical(whole)
    assert [p.name for p in path.parent.iterdir()] == ["s.nc"]
    monkeypatch.setattr(toymodel.sweeps.points, "block_function", None)  # a finished one is only read
    again = sweep(parameters, epochs=3, record=ALL, path=path)
    xarray.testing.assert_identical(again.drop_attrs(), whole.drop_attrs())
    with pytest.raises(InputError, match="another sweep"):
        sweep({**parameters, "tasks": 5}, epochs=3, path=path)
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        sweep(parameters, epochs=3, record=ALL, path=path)


PLAIN = from_functions(lambda v, t, out: None, lambda v, t, out: None, slope=1.0)


@pytest.mark.parametrize(
    ("parameters", "options", "words"),
    [
        ({"rat": [1]}, {}, "'rat'.*Fix: rate"),
        ({"rate": [0.0]}, {}, "positive"),
        ({"rate": [np.nan]}, {}, "rate"),
        ({"rate": ["a"]}, {}, "rate"),
        ({"rate": []}, {}, "lengths"),
        ({"fast_rate": 1.5}, {}, "at most 1"),
        ({"rho": 1.0}, {}, "rho"),
        ({"tasks": 1}, {}, "tasks=1"),
        ({"inner_steps": 1.5}, {}, "inner_steps"),
        ({"A": 0.3}, {}, "both shares"),
        ({"map": "leaky"}, {}, "simulated"),
        ({"map": PLAIN}, {"kind": "simulated"}, "Python function"),
        ({"map": "identty"}, {}, "identity"),
        ({"rho": 0.2}, {"kind": "simulated"}, "rho"),
        ({"tasks": [3, 4]}, {"gram": np.eye(3)}, "one number of tasks"),
        ({"tasks": 3}, {"gram": np.eye(4)}, "gram"),
        ({"tasks": 3}, {"gram": np.eye(3), "kind": "simulated"}, "gram"),
        ({"tasks": 3}, {"order": [[0, 1, 5]], "epochs": 1, "record": "final"}, "order"),
        ({}, {"epochs": 1}, "second visit"),
        ({}, {"kind": "guess"}, "kind"),
        ({}, {"record": "loss"}, "losses"),
        ({"rate": [0.1, 0.2], "tasks": [3]}, {"samples": True}, "lengths"),
        ({"rate": np.linspace(0.1, 0.2, 10**5), "rho": [0.0, 0.1]},
         {"record": ALL, "memory_limit": 10**9}, "MiB"),
    ],
)  # fmt: skip
def test_bad_input(parameters, options, words):
    with pytest.raises(InputError, match=words) as error:
        sweep(parameters, **options)
    assert "\n" not in str(error.value)


def test_a_sweep_larger_than_the_machine_is_refused():
    rates, shares_b = np.linspace(0.001, 0.002, 10**5), np.linspace(0, 0.9, 10**5)
    with pytest.raises(InputError, match="MiB"):
        sweep({"rate": rates, "rho": shares_b}, record="losses")


def test_past_the_stability_limit_there_is_no_recovery():
    limit = rate_limit(uniform(25, 1000, 0.0))
    data = sweep({"rate": [0.5 * limit, 0.99 * limit, 1.01 * limit, 3 * limit]}, record=ALL)
    np.testing.assert_array_equal(data["stable"], [1, 1, 0, 0])
    assert np.isfinite(data["recovery"][:2]).all()
    assert np.isnan(data["recovery"][2:]).all()
    assert float(data["final"][3].max()) > 1e20  # the losses themselves are what they are


def test_stability_of_shares_similarity_and_gram_matrices():
    grid = sweep({"A": [0.0, 0.3, 1.2], "B": [0.0, 0.7, 1.5], "rho": [0.0, 0.5], "tasks": 4})
    for place in np.ndindex(3, 3, 2):
        a, b, rho = (grid[name].values[k] for name, k in zip(("A", "B", "rho"), place, strict=True))
        gram = (1 - rho) * np.eye(4) + rho
        assert grid["stable"].values[place] == (growth(gram, a, b) <= 1 + 1e-9)
    gram = random_gram(4, 9, seed=2)
    order = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    for options in ({}, {"order": order, "epochs": 2}):
        limit = rate_limit(gram, order=options.get("order"))
        data = sweep({"rate": [0.9 * limit, 1.1 * limit], "tasks": 4}, gram=gram, **options)
        np.testing.assert_array_equal(data["stable"], [1, 0])
        shared = sweep({"A": [0.3, 1.5], "B": 0.7, "tasks": 4}, gram=gram, **options)
        ref = [growth(gram, a, 0.7, options.get("order")) <= 1 for a in (0.3, 1.5)]
        np.testing.assert_array_equal(shared["stable"], ref)


def test_stability_of_simulations():
    limit = rate_limit(random_tasks(5, 30).gram)
    options = {"tasks": 5, "dimension": 30, "rate": [0.9 * limit, 1.1 * limit]}
    data = sweep({**options, "map": ["identity", "leaky"]}, kind="simulated", epochs=3)
    np.testing.assert_array_equal(data["stable"].sel(map="identity"), [1, 0])
    assert np.isnan(data["stable"].sel(map="leaky")).all()
    assert np.isnan(data["recovery"].sel(map="identity")[1]).all()


def test_simulations_that_leave_the_numbers_spoil_only_their_own_point():
    data = sweep({"rate": [1e-3, 1e3], "dimension": 30, "tasks": 5}, kind="simulated", epochs=60, record=ALL)
    np.testing.assert_array_equal(data["stable"], [1, 0])
    assert np.isfinite(data["losses"][0]).all()
    assert np.isnan(data["losses"][1]).all()


@pytest.mark.parametrize("threads", [0, -1, 1.5, "x", 10**400])
def test_threads_that_are_none(threads):
    with pytest.raises(InputError, match="threads.* expected a whole number, at least 1"):
        sweep({}, threads=threads)


def test_more_threads_than_points_are_as_many_as_points():
    parameters = {"rate": [0.01, 0.02, 0.03], "dimension": 9, "tasks": 3}
    one, many = (sweep(parameters, epochs=2, threads=threads) for threads in (1, 2**62))
    assert many.identical(one)


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: data + b"\0", lambda data: b"",
                                    lambda data: data[:2000] + b"\xff" * 100 + data[2100:]])  # fmt: skip
def test_no_damaged_byte_reaches_the_library_that_reads_the_file(tmp_path, monkeypatch, damage):
    """HDF5 has been seen to read some of them for ever."""
    settings = {"epochs": 2, "path": tmp_path / "s.nc"}
    parameters = {"rate": [0.01], "dimension": 9, "tasks": 3}
    sweep(parameters, **settings)
    (tmp_path / "s.nc").write_bytes(damage((tmp_path / "s.nc").read_bytes()))
    monkeypatch.setattr(xarray, "load_dataset", None)
    with pytest.raises(InputError, match=r"cannot be read as a finished sweep \(its (end|checksum)"):
        sweep(parameters, **settings)


def test_a_gram_matrix_is_one_and_stands_for_every_similarity():
    gram = random_gram(4, 20, seed=1)
    lopsided = gram + np.eye(4, k=1)
    for options, says in (
        ({"gram": lopsided}, "symmetric"), ({"gram": gram - 9 * gram.max()}, "> 0"),
        ({"gram": gram[:3, :3]}, "shape"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=says):
            sweep({"tasks": 4}, **options)
    with pytest.raises(InputError, match="changes nothing with a Gram matrix"):
        sweep({"tasks": 4, "rho": [0.1, 0.2]}, gram=gram)

"""Slow, obvious versions of everything that is optimised."""

import numpy as np


def share_moments(slow, fast, order, moments, gram):
    """The moment recursion with explicit matrices: u <- A u, S <- A S A^T."""
    T = order.shape[1]
    S = np.array(moments, float)
    rows = [[0.5 * (S[j, j] - 2 * S[j, T] + S[T, T]) for j in range(T)]]
    for i, A, B in zip(order.ravel(), slow.ravel(), fast.ravel(), strict=True):
        step = np.eye(T + 1)
        for j in range(T):
            step[j, i] -= A * gram[i, j] / gram[i, i]
            step[j, T] += A * gram[i, j] / gram[i, i]
        step[T, i] += B
        step[T, T] -= B
        S = step @ S @ step.T
        rows.append([0.5 * (S[j, j] - 2 * S[j, T] + S[T, T]) for j in range(T)])
    return np.array(rows)


def recovery_parts(values, order, n):
    """(after, peak, before) means over tasks of interval n, by walking through the episodes."""
    flat = list(order.ravel())
    parts = []
    for task in range(values.shape[1]):
        visits = [t for t, i in enumerate(flat) if i == task]
        if len(visits) > n:
            stretch = [values[t, task] for t in range(visits[n - 1] + 1, visits[n] + 1)]
            parts.append((stretch[0], max(stretch), stretch[-1]))
    return np.mean(np.array(parts), axis=0)


def online_and_transfer(values, order):
    """Online losses and backward transfer, by walking through the episodes."""
    online, transfer, after, row = [], [], {}, 0
    for epoch in order:
        online.append([])
        for task in epoch:
            online[-1].append(values[row, task])
            row += 1
            after[task] = values[row, task]
        gains = [before - values[row, task] for task, before in after.items() if task != epoch[-1]]
        transfer.append(np.mean(gains) if gains else np.nan)
    return online, transfer


def gradient_gram(model, adapter, tasks, parameters):
    """Inner products of whole gradients, one backward pass per document."""
    import torch

    rows = []
    for task in range(tasks):
        adapter.load(task)
        found = torch.autograd.grad(
            adapter.loss(), list(parameters), allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([g.detach().flatten() for g in found]).double())
    stacked = torch.stack(rows)
    return (stacked @ stacked.T).numpy()


def window_residuals(weights, T):
    """Paper eq. 2 written out: subtract the mean of the T states centred at t, as far as they exist."""
    found = []
    for t in range(len(weights)):
        inside = [s for s in range(t - T // 2, t - T // 2 + T) if 0 <= s < len(weights)]
        found.append(weights[t] - sum(weights[s] for s in inside) / len(inside))
    return np.array(found)


def pairwise_recovery(build, adapter_of, rate, tasks, steps):
    """Train a fresh copy of the network on each document by hand; losses of all before less after."""
    import torch

    def losses(adapter):
        found = []
        for task in range(tasks):
            adapter.load(task)
            found.append(float(adapter.loss().detach()))
        return np.array(found)

    before = losses(adapter_of(build()))
    rows = []
    for task in range(tasks):
        model = build()
        adapter = adapter_of(model)
        for _ in range(steps):
            adapter.load(task)
            model.zero_grad()
            adapter.loss().backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= rate * p.grad
        rows.append(before - losses(adapter))
    return np.array(rows)


def affine_run(x, matrices, y, P, w, rate, order, inner_steps=1, fast_rate=1.0):
    """Eqs. 3-5 as written for f_i(w) = A_i w + y_i; solutions (R, T, M), w (R, M) and losses (R, T)."""
    P, w = np.array(P, float), np.array(w, float)
    qs, ws, losses = [], [], []

    def keep():
        q = [np.linalg.solve(A, P @ xi - yi) for A, xi, yi in zip(matrices, x, y, strict=True)]
        qs.append(q)
        ws.append(w)
        errors = [P @ xi - A @ w - yi for A, xi, yi in zip(matrices, x, y, strict=True)]
        losses.append([0.5 * np.sum(e**2) for e in errors])

    keep()
    for i in np.ravel(order):
        for _ in range(inner_steps):
            P = P - rate * np.outer(P @ x[i] - matrices[i] @ w - y[i], x[i])
            w = w + fast_rate * (np.linalg.solve(matrices[i], P @ x[i] - y[i]) - w)
        keep()
    return np.array(qs), np.array(ws), np.array(losses)


def ring_run(q, w, slow, fast, episodes):
    """Orthogonal data, one episode after another: states before training and after every episode."""
    q, w = np.array(q), w
    rows = [(q.copy(), w)]
    for s in range(episodes):
        i = s % len(q)
        r = q[i] - w
        q[i] = q[i] - slow * r
        w = w + fast * r
        rows.append((q.copy(), w))
    return rows


def plain_language_run(model, documents, order, steps, optimizer, reset=True):
    """Cyclic training as one would first write it: one document at a time, unpadded, the library's own loss.

    `documents` are lists of token ids; `optimizer` makes one from parameters. Returns the loss matrix.
    """
    import torch

    def evaluate():
        model.eval()
        with torch.no_grad():
            return [model(input_ids=x, labels=x).loss.item() for x in inputs]

    inputs = [torch.tensor([ids]) for ids in documents]
    rows = [evaluate()]
    current = optimizer(model.parameters())
    for task in order:
        if reset:
            current = optimizer(model.parameters())
        model.train()
        for _ in range(steps):
            current.zero_grad()
            model(input_ids=inputs[task], labels=inputs[task]).loss.backward()
            current.step()
        rows.append(evaluate())
    return np.array(rows)


def toy_losses(tasks, task_map, rate, inner_steps, fast_rate, order, noise=None):
    """Eqs. 3-5 with K inner steps, partial fast steps and noise, one episode at a time."""
    theta = task_map.theta(tasks.y)
    P, w = tasks.P.copy(), tasks.w.copy()

    def f(function, v, i):
        return function.rows(v, theta[i : i + 1])[0]

    def losses():
        return [0.5 * np.sum((P @ x - f(task_map.forward, w, i)) ** 2) for i, x in enumerate(tasks.x)]

    rows = [losses()]
    for e, k in np.ndindex(order.shape):
        i = order[e, k]
        x = tasks.x[i] + (0 if noise is None else noise[e, k])
        for _ in range(inner_steps):
            P = P - rate * np.outer(P @ x - f(task_map.forward, w, i), x)
            w = w + fast_rate * (f(task_map.inverse, P @ x, i) - w)
        rows.append(losses())
    return np.array(rows)


def plain_classification(model, batches, labels, order, steps, optimizer, reset=True):
    """Cyclic training of a classifier, one image at a time: a batch's gradient is the mean of its images'.

    `batches` and `labels` are per task; `optimizer` makes one from parameters. Returns the loss matrix.
    """
    import torch

    def losses_of(task):
        for image, label in zip(batches[task], labels[task], strict=True):
            yield torch.nn.functional.cross_entropy(model(image[None]), torch.tensor([int(label)]))

    def evaluate():
        model.eval()
        with torch.no_grad():
            return [np.mean([loss.item() for loss in losses_of(task)]) for task in range(len(batches))]

    rows = [evaluate()]
    current = optimizer(model.parameters())
    for task in order:
        if reset:
            current = optimizer(model.parameters())
        for _ in range(steps):
            current.zero_grad()
            for loss in losses_of(task):
                (loss / len(batches[task])).backward()
            current.step()
        rows.append(evaluate())
    return np.array(rows)


def departure_covariance(order, departures, level):
    """Covariance of all losses' departures, rows by rows of the loss matrix and document, entry by entry."""
    from toymodel.measures.lag import lags

    visits, since = lags(order)
    repeats = bool((order == order[0]).all())
    documents = np.tile(np.arange(order.shape[1]), len(visits))
    cells = list(zip(visits.ravel(), since.ravel(), documents, strict=True))
    d = departures
    result = np.zeros((len(cells), len(cells)))
    for a, (n, lag, j) in enumerate(cells):
        for b, (m, other, k) in enumerate(cells):
            carried = float(n == m)
            if n > 0 and m > 0 and repeats:
                carried = d.carried ** abs(n - m)
            size = (level[n, lag] * level[m, other]) ** d.power
            own = d.first if n == 0 else 1.0, d.first if m == 0 else 1.0
            common = d.common_first if n == 0 else d.common, d.common_first if m == 0 else d.common
            smooth = (1 - d.rough) * np.exp(-abs(lag - other) / d.length) + d.rough * (lag == other)
            result[a, b] = carried * (size * own[0] * own[1] * smooth * (j == k)
                                      + common[0] * common[1] * (lag == other))  # fmt: skip
    return result * d.deviation**2


def order_log_likelihood(log, count, step, shift):
    """Of a log in which the document at t is t mod T, from `step` on (t + shift) mod T, over independence.

    Pair after pair, averaged over the correlation, of pairs with the first epoch and of the others; the trend
    of each epoch is taken out by a fit.
    """
    rest = []
    for losses in np.reshape(np.log(log), (-1, count)):
        place = np.arange(count)
        left = losses - np.polyval(np.polyfit(place, losses, 2), place)
        rest += list(left / left.std())
    documents = [(time + (shift if time >= step else 0)) % count for time in range(len(rest))]
    total = 0.0
    for first, grid in ((True, np.linspace(0, 0.98, 50)), (False, np.linspace(0.1, 0.98, 45))):
        likelihoods = []
        for rho in grid:
            seen, logs = {}, 0.0
            for time, (document, value) in enumerate(zip(documents, rest, strict=True)):
                if document in seen and (seen[document] < count) == first:
                    mean, variance = rho * rest[seen[document]], 1 - rho**2
                    logs += -0.5 * np.log(variance) - (value - mean) ** 2 / (2 * variance) + value**2 / 2
                seen[document] = time
            likelihoods.append(logs)
        total += float(np.log(np.mean(np.exp(likelihoods))))
    return total


def philox(counter, key):
    """Four words of Philox 4x32-10 (Salmon et al. 2011) from a counter and a key of such words."""
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ low, second % 2**32, (first >> 32) ^ d ^ high, first % 2**32
        low, high = (low + 0x9E3779B9) % 2**32, (high + 0xBB67AE85) % 2**32
    return a, b, c, d


def counted_normals(length, key, block):
    """Normal numbers of a block by Box and Muller (1958) from the words of `philox`, float64."""
    out, quarter = np.empty(length), length // 4

    def pair(word, other):
        radius, angle = np.sqrt(-2 * np.log((word + 0.5) / 2**32)), 2 * np.pi * other / 2**32
        return radius * np.cos(angle), radius * np.sin(angle)

    for i in range(quarter):
        a, b, c, d = philox((i, block, 0, 0), key)
        out[i], out[i + quarter] = pair(a, b)
        out[i + 2 * quarter], out[i + 3 * quarter] = pair(c, d)
    for i in range(4 * quarter, length):
        out[i] = pair(*philox((i, block, 0, 0), key)[:2])[0]
    return out

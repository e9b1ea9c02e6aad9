// Expected losses of the toy model from second moments: the recursion of toymodel/kernels/moments.py.
//
// In solution coordinates an episode on task i has the residual r = q_i - w and does
// q_i <- q_i - A r, w <- w + B r. Every embedding coordinate obeys this same recursion, so the moments
// over (q_1..q_T, w) are all that losses need; one episode changes rows i and w alone, O(T).

/**
 * Slow and fast share (A, B) of an episode from what the sliders show, by epoch.
 *
 * Uniform similarity h moves all q and w alike, which no loss sees: it is orthogonal data with
 * A (1 - h) and B + A h (docs/theory.md, section 4). Drifts move the logits of u and s from epoch to epoch,
 * where these have any; epochs after the last have its shares.
 *
 * @returns {{slow: Float64Array, fast: Float64Array}} of `epochs` epochs
 */
export function sharesOf(numbers, epochs = 1) {
  const { unfitted, slowShare, similarity = 0, unfittedDrift = 0, slowDrift = 0 } = numbers;
  const slow = new Float64Array(epochs);
  const fast = new Float64Array(epochs);
  for (let e = 0; e < epochs; e++) {
    const fitted = 1 - drifted(unfitted, e * unfittedDrift);
    const s = drifted(slowShare, e * slowDrift);
    slow[e] = fitted * s * (1 - similarity);
    fast[e] = fitted * (1 - s) + fitted * s * similarity;
  }
  return { slow, fast };
}

/** A share whose logit has moved; one outside (0, 1) has none and stays. */
function drifted(share, by) {
  if (by === 0 || !(share > 0 && share < 1)) return share;
  return 1 / (1 + ((1 - share) / share) * Math.exp(-by));
}

/** Moments before training: independent q_i of variance 1, w of the given variance. */
export function independentMoments(tasks, varianceW) {
  const moments = {
    tasks,
    pairs: new Float64Array(tasks * tasks), // E q_j q_k; the diagonal is kept in `half`
    half: new Float64Array(tasks).fill(0.5), // half of E q_j^2
    withW: new Float64Array(tasks), // E q_j w
    ww: varianceW,
  };
  return moments;
}

/**
 * Losses 1/2 E|q_j - w|^2 before training and after every episode, row after row of T.
 *
 * Advances `moments` in place. A loss that rounding takes below 0 is 0.
 *
 * @param {object} moments as `independentMoments` makes them
 * @param {ArrayLike<number>} slows A by epoch; later epochs have the last
 * @param {ArrayLike<number>} fasts B, likewise
 * @param {ArrayLike<number>} order task of every episode
 * @returns {Float64Array} (1 + episodes) * T losses
 */
export function expectedLosses(moments, slows, fasts, order) {
  const { tasks, half, withW, ww } = moments;
  const out = new Float64Array((1 + order.length) * tasks);
  for (let j = 0; j < tasks; j++) out[j] = Math.max(half[j] + 0.5 * ww - withW[j], 0);
  for (let t = 0; t < order.length; t++) {
    const epoch = Math.min(Math.floor(t / tasks), slows.length - 1);
    train(moments, order[t], slows[epoch], fasts[epoch], out, (1 + t) * tasks);
  }
  return out;
}

/** One episode on task i, `moments` in place; the T losses after it are written to `out` from `at` on. */
export function train(moments, i, slow, fast, out, at) {
  const { tasks, pairs, half, withW } = moments;
  const row = i * tasks;
  const vi = 2 * half[i] - withW[i]; // covariances of r with q_i and with w, and its variance
  const vw = withW[i] - moments.ww;
  const rr = vi - vw;
  const halfI = half[i] - slow * vi + 0.5 * rr * slow * slow;
  const withI = withW[i] - slow * vw + fast * vi - rr * slow * fast;
  moments.ww += 2 * fast * vw + rr * fast * fast;
  const halfW = 0.5 * moments.ww;
  for (let j = 0; j < tasks; j++) {
    const v = pairs[row + j] - withW[j];
    pairs[row + j] -= slow * v;
    pairs[j * tasks + i] = pairs[row + j];
    withW[j] += fast * v;
    out[at + j] = Math.max(half[j] + halfW - withW[j], 0);
  }
  half[i] = halfI;
  withW[i] = withI;
  out[at + i] = Math.max(halfI + halfW - withI, 0);
}

/** The same relative to before training: 1 everywhere in the first row. */
export function relativeLosses({ tasks, slow, fast, varianceW, order }) {
  const losses = expectedLosses(independentMoments(tasks, varianceW), slow, fast, order);
  const start = (1 + varianceW) / 2;
  for (let n = 0; n < losses.length; n++) losses[n] /= start;
  return losses;
}

/**
 * Reshuffled every epoch, exactly, at the cost of one order (docs/theory.md, on orders).
 *
 * The next order is independent of all before, so after an epoch the moments may be replaced by their
 * average over permutations: one mean variance, one mean covariance, one mean covariance with w.
 *
 * @returns {{online: Float64Array, after: Float64Array}} mean relative loss of the task about to be trained
 *   in every epoch, and of all tasks after it
 */
export function reshuffledExpectation({ tasks, slow, fast, varianceW, epochs }) {
  const order = Int32Array.from({ length: tasks }, (_, k) => k);
  const start = (1 + varianceW) / 2;
  const online = new Float64Array(epochs);
  const after = new Float64Array(epochs);
  let moments = independentMoments(tasks, varianceW);
  for (let e = 0; e < epochs; e++) {
    const now = Math.min(e, slow.length - 1);
    const losses = expectedLosses(moments, [slow[now]], [fast[now]], order);
    for (let k = 0; k < tasks; k++) {
      online[e] += losses[k * tasks + k] / tasks / start;
      after[e] += losses[tasks * tasks + k] / tasks / start;
    }
    moments = averaged(moments);
  }
  return { online, after };
}

/** Pairs of tasks, as a divisor: a task by itself has none, and nothing to divide. */
const pairsOf = (tasks) => Math.max(1, (tasks * (tasks - 1)) / 2);

/** The average of moments over all permutations of the tasks. */
function averaged({ tasks, pairs, half, withW, ww }) {
  let diagonal = 0;
  let others = 0;
  let mixed = 0;
  for (let j = 0; j < tasks; j++) {
    diagonal += half[j] / tasks;
    mixed += withW[j] / tasks;
    for (let k = 0; k < j; k++) others += pairs[j * tasks + k];
  }
  others /= pairsOf(tasks);
  return {
    tasks,
    pairs: new Float64Array(tasks * tasks).fill(others),
    half: new Float64Array(tasks).fill(diagonal),
    withW: new Float64Array(tasks).fill(mixed),
    ww,
  };
}

/**
 * Growth of expected losses per reshuffled epoch: the larger eigenvalue of what an epoch does to the
 * mean variance and the mean covariance of the differences q_j - w.
 */
export function reshuffledFactor(tasks, slow, fast) {
  const order = Int32Array.from({ length: tasks }, (_, k) => k);
  const columns = [
    [1, 0],
    [1, 1],
  ].map(([diagonal, others]) => {
    // Differences with these moments and w = 0 stand for all: losses see nothing else.
    const moments = {
      tasks,
      pairs: new Float64Array(tasks * tasks).fill(others),
      half: new Float64Array(tasks).fill(diagonal / 2),
      withW: new Float64Array(tasks),
      ww: 0,
    };
    expectedLosses(moments, [slow], [fast], order);
    const { half, withW, pairs, ww } = moments;
    let d = 0;
    let o = 0;
    for (let j = 0; j < tasks; j++) {
      d += (2 * half[j] - 2 * withW[j] + ww) / tasks;
      for (let k = 0; k < j; k++) o += pairs[j * tasks + k] - withW[j] - withW[k] + ww;
    }
    return [d, o / pairsOf(tasks)];
  });
  // Columns belong to (1, 0) and (1, 1): the second unit vector is their difference.
  const [a, c] = columns[0];
  const [b, d] = [columns[1][0] - a, columns[1][1] - c];
  const middle = (a + d) / 2;
  const root = Math.sqrt(Math.max(0, middle * middle - (a * d - b * c)));
  return Math.max(Math.abs(middle + root), Math.abs(middle - root));
}

/**
 * From relative squared distance x to relative loss h(x), 1 at x = 1 (bridge's saturating link).
 *
 * @param {Float64Array} x changed in place
 * @param {number} halfPoint z of h(x) = (1 + z) x / (x + z); Infinity for the linear link
 */
export function applyLink(x, halfPoint) {
  if (halfPoint === Infinity) return x;
  for (let n = 0; n < x.length; n++) x[n] = ((1 + halfPoint) * x[n]) / (x[n] + halfPoint);
  return x;
}

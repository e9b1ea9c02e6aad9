// From the state to everything that the panels show; no page in here, so it runs anywhere.

import { applyLink, sharesOf } from "#toy/engine.js";
import { scaled } from "#toy/fit.js";
import { curvesByLag, lossesAfterEpochs, onlineLosses, recoveryScores, rSquared } from "#toy/measures.js";
import { makeOrder, repeats } from "#toy/orders.js";
import { palindromeEigenvalues } from "#toy/palindrome.js";
import { approachedRecovery, epochEigenvalues, isStable, slowShareLimit, turnsPerEpoch } from "#toy/ring.js";
import { sharedFactor, sharedLosses, sharedReshuffled } from "#toy/sharing.js";

/** Epochs that the ring's player goes through, more than the charts show. */
export const PLAYED = 40;

/** Everything that is measured on one loss matrix. */
export function measured(matrix) {
  return {
    matrix,
    curves: curvesByLag(matrix),
    scores: recoveryScores(matrix),
    online: onlineLosses(matrix),
    after: lossesAfterEpochs(matrix),
  };
}

/**
 * The toy of a state and, where there is one, the network beside it.
 *
 * @param {object} state as state.js has it
 * @param {object | null} run with `found` (as `measured`), `tasks`, `epochs` and `scales`
 */
export function compute(state, run) {
  const { tasks, epochs, varianceW } = state;
  const beside = run && run.tasks === tasks ? run : null;
  // A drift is known only where it was seen: afterwards shares stay what they are.
  const shares = sharesOf(state, beside ? beside.epochs : epochs);
  const { slow, fast } = shares;
  const [lastSlow, lastFast] = [slow.at(-1), fast.at(-1)];
  const played = orderOf(state, beside, Math.max(PLAYED, epochs));
  const order = played.subarray(0, epochs * tasks);
  const halfPoint = state.link === "linear" ? Infinity : state.halfPoint;
  const sharedFraction = state.sharing === "all" ? undefined : state.sharedFraction;
  const scales = beside?.scales ?? new Float64Array(tasks).fill(1);
  const shapes = applyLink(sharedLosses({ tasks, slow, fast, varianceW, order, sharedFraction }), halfPoint);
  const toy = measured({ tasks, values: scaled(shapes, scales), order });
  const stable = isStable(lastSlow, lastFast, tasks);
  return {
    state,
    run,
    beside,
    shares,
    toy,
    played,
    stable,
    limit: slowShareLimit(state),
    reference: referenceOf(state, shares, sharedFraction, halfPoint, scales),
    // Stability, spectrum and what follows from it are of directions that all documents train: in a fixed
    // order they are the last to converge, and the first to diverge.
    spectrum: spectrumOf(state, sharedFraction, lastSlow, lastFast, order),
    turns: state.order === "cyclic" && stable ? turnsPerEpoch(lastSlow, lastFast, tasks) : null,
    approached:
      repeats(order, tasks) && state.order !== "palindrome"
        ? approachedRecovery(lastSlow, lastFast, tasks)
        : null,
    agreement: beside ? agreementOf(toy.matrix, beside.found.matrix) : null,
  };
}

/** The schedule, at least as long as asked for; a run's own goes on as in its last epoch. */
function orderOf({ order, tasks, seed }, run, epochs) {
  if (order !== "run" || !run) return makeOrder(order === "run" ? "cyclic" : order, tasks, epochs, seed);
  const given = run.found.matrix.order;
  return Int32Array.from({ length: epochs * tasks }, (_, t) => {
    const epoch = Math.min(Math.floor(t / tasks), run.epochs - 1);
    return given[epoch * tasks + (t % tasks)];
  });
}

/** What the same shares do when every epoch is reshuffled, in expectation. */
function referenceOf({ tasks, epochs, varianceW }, shares, sharedFraction, halfPoint, scales) {
  const { online, after } = sharedReshuffled({ tasks, ...shares, varianceW, epochs, sharedFraction });
  const scale = scales.reduce((sum, k) => sum + k / tasks, 0);
  const asLoss = (x) => applyLink(x, halfPoint).map((h) => scale * h);
  return { online: asLoss(online), after: asLoss(after) };
}

/**
 * Eigenvalues of what an epoch (of a palindrome, a pair of epochs) does to the differences q_j - w, and the
 * factor by which losses change in an epoch in the end. `own` is false where no two epochs are alike.
 */
function spectrumOf({ order: kind, tasks }, sharedFraction, slow, fast, order) {
  if (kind === "palindrome") {
    const re = palindromeEigenvalues(slow, fast, tasks);
    if (re?.every(Number.isFinite)) {
      const factor = Math.max(...re.map(Math.abs));
      return { kind, own: true, re, im: new Float64Array(tasks), factor };
    }
  }
  const { re, im } = epochEigenvalues(slow, fast, tasks);
  const factor = Math.hypot(re[0], im[0]) ** 2;
  if (kind === "palindrome" || !repeats(order, tasks)) {
    const random = kind === "reshuffled";
    return {
      kind,
      own: false,
      re,
      im,
      factor: random ? sharedFactor({ tasks, slow, fast, sharedFraction }) : null,
    };
  }
  return { kind: "cyclic", own: true, re, im, factor };
}

/** How well the toy's entries agree with the run's, where both trained the same tasks; else null. */
function agreementOf(toy, network) {
  const episodes = Math.min(toy.order.length, network.order.length);
  for (let t = 0; t < episodes; t++) if (toy.order[t] !== network.order[t]) return null;
  const count = (1 + episodes) * toy.tasks;
  const [found, predicted] = [network.values.subarray(0, count), toy.values.subarray(0, count)];
  const residuals = found.map((loss, n) => loss - predicted[n]);
  return { r2: rSquared(found, predicted), residuals, rows: 1 + episodes };
}

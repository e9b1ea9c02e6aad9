// The four numbers of a loss matrix: u, s, v and z, fitted to what its documents have in common.
//
// Losses are averaged over documents by visits so far and lag (the lag counts from the start before the
// first visit), since a document's own smooth departures come again every epoch and would rule a fit of
// all entries. One common scale is solved for inside every evaluation (variable projection); afterwards
// every document gets its own. Weak normal priors as in bridge/model/terms.py.

import { applyLink, relativeLosses, sharesOf } from "#toy/engine.js";
import { rSquared } from "#toy/measures.js";
import { generator } from "#toy/orders.js";

const logistic = (x) => 1 / (1 + Math.exp(-x));

// unfitted u and slow share s by their logits, variance v and half point z by their logarithms
const LOW = [-7, -7, -7, -5];
const HIGH = [7, 7, 7, 5];
const CENTRE = [0, -1.5, -1, 0];
const WIDTH = [1.5, 1.5, 1.5, 1];

export function numbersOf(theta) {
  return {
    unfitted: logistic(theta[0]),
    slowShare: logistic(theta[1]),
    varianceW: Math.exp(theta[2]),
    halfPoint: Math.exp(theta[3]),
  };
}

/** Which group every entry belongs to: its document's visits so far and the episodes since the last. */
export function groupsOf(tasks, order) {
  const rows = 1 + order.length;
  const visits = new Int32Array(tasks);
  const since = new Int32Array(tasks);
  const numbers = new Map();
  const group = new Int32Array(rows * tasks);
  const counts = [];
  for (let row = 0; row < rows; row++) {
    if (row > 0) {
      visits[order[row - 1]] += 1;
      since[order[row - 1]] = row;
    }
    for (let j = 0; j < tasks; j++) {
      const key = visits[j] * rows + (row - since[j]);
      let number = numbers.get(key);
      if (number === undefined) {
        number = numbers.size;
        numbers.set(key, number);
        counts.push(0);
      }
      group[row * tasks + j] = number;
      counts[number] += 1;
    }
  }
  return { group, counts: Float64Array.from(counts) };
}

function averages(values, { group, counts }) {
  const mean = new Float64Array(counts.length);
  for (let n = 0; n < values.length; n++) mean[group[n]] += values[n];
  for (let g = 0; g < mean.length; g++) mean[g] /= counts[g];
  return mean;
}

/** Relative losses h(x) of the four numbers in an order. */
export function shapesOf(numbers, tasks, order) {
  const { slow, fast } = sharesOf(numbers);
  const x = relativeLosses({ tasks, slow, fast, varianceW: numbers.varianceW, order });
  return applyLink(x, numbers.halfPoint);
}

/** Scale of every document that fits best, given the shapes; never below 0. */
export function scalesOf({ tasks, values }, shapes) {
  const scales = new Float64Array(tasks);
  for (let j = 0; j < tasks; j++) {
    let [hh, hy] = [0, 0];
    for (let n = j; n < values.length; n += tasks) {
      hh += shapes[n] * shapes[n];
      hy += shapes[n] * values[n];
    }
    scales[j] = hh > 0 ? Math.max(0, hy / hh) : 0;
  }
  return scales;
}

export function scaled(shapes, scales) {
  const tasks = scales.length;
  return shapes.map((shape, n) => shape * scales[n % tasks]);
}

/**
 * Fit the four numbers.
 *
 * @param {{tasks: number, values: Float64Array, order: Int32Array}} matrix
 * @param {{penalty?: boolean}} options without the penalty the objective is the curves' squares alone
 * @yields {number} part done, from 0 to 1, so that a page can go on living
 * @returns {object} the numbers, scales, prediction, R^2 of the curves and of all entries
 */
export function* fitFour(matrix, { penalty = true } = {}) {
  const { tasks, values, order } = matrix;
  const groups = groupsOf(tasks, order);
  const target = averages(values, groups);
  const root = groups.counts.map(Math.sqrt);

  const residualsOf = (theta) => {
    const shape = averages(shapesOf(numbersOf(theta), tasks, order), groups);
    let [hh, hy] = [0, 0];
    for (let g = 0; g < shape.length; g++) {
      hh += groups.counts[g] * shape[g] * shape[g];
      hy += groups.counts[g] * shape[g] * target[g];
    }
    const scale = hh > 0 ? Math.max(0, hy / hh) : 0;
    return shape.map((h, g) => root[g] * (target[g] - scale * h));
  };

  const starts = startsOf(24);
  const tried = [];
  for (const [n, theta] of starts.entries()) {
    tried.push({ theta, cost: squares(residualsOf(theta)) });
    yield (0.4 * n) / starts.length;
  }
  tried.sort((a, b) => a.cost - b.cost);
  let best = null;
  for (const [n, { theta }] of tried.slice(0, 3).entries()) {
    let weight = 0;
    let found = theta;
    // The priors count in units of the residuals' variance, known once a first search has ended.
    for (const round of penalty ? [0, 1, 2] : [0, 1]) {
      found = descend(residualsOf, found, round === 0 ? 1e-9 : weight, round === 0 ? 12 : 25);
      weight = penalty ? squares(residualsOf(found)) / Math.max(1, target.length - 5) : 0;
      yield 0.4 + (0.6 * (n + (round + 1) / 3)) / 3;
    }
    const cost = squares(residualsOf(found)) + weight * distance(found);
    if (best === null || cost < best.cost) best = { theta: found, cost };
  }
  const numbers = numbersOf(best.theta);
  const shapes = shapesOf(numbers, tasks, order);
  const scales = scalesOf(matrix, shapes);
  const prediction = scaled(shapes, scales);
  const shape = averages(prediction, groups);
  return {
    numbers,
    scales,
    prediction,
    r2: rSquared(values, prediction),
    r2Curves: weightedRSquared(target, shape, groups.counts),
  };
}

/** All steps of `fitFour` at once. */
export function fitNow(matrix, options) {
  const search = fitFour(matrix, options);
  for (;;) {
    const { done, value } = search.next();
    if (done) return value;
  }
}

function startsOf(count) {
  const random = generator(7);
  const between = (low, high) => low + (high - low) * random();
  return Array.from({ length: count }, () => [
    between(-3, 2),
    between(-3, 2),
    between(-3, 2),
    between(-2, 4),
  ]);
}

function squares(residuals) {
  let sum = 0;
  for (const r of residuals) sum += r * r;
  return Number.isFinite(sum) ? sum : Infinity;
}

function distance(theta) {
  return theta.reduce((sum, x, p) => sum + ((x - CENTRE[p]) / WIDTH[p]) ** 2, 0);
}

/** Levenberg's and Marquardt's descent in the box, with derivatives from differences. */
function descend(residualsOf, start, weight, most) {
  const size = start.length;
  let theta = start.slice();
  let residuals = residualsOf(theta);
  let cost = squares(residuals) + weight * distance(theta);
  let damping = 1e-2;
  for (let turn = 0; turn < most; turn++) {
    const columns = theta.map((x, p) => {
      const step = x + 1e-5 > HIGH[p] ? -1e-5 : 1e-5;
      const moved = residualsOf(theta.map((y, q) => (q === p ? y + step : y)));
      return moved.map((r, n) => (r - residuals[n]) / step);
    });
    const normal = columns.map((a, p) =>
      columns.map((b, q) => dot(a, b) + (p === q ? weight / WIDTH[p] ** 2 : 0)),
    );
    const slope = columns.map(
      (a, p) => dot(a, residuals) + (weight * (theta[p] - CENTRE[p])) / WIDTH[p] ** 2,
    );
    let gained = false;
    for (let attempt = 0; attempt < 8; attempt++) {
      const step = solve(
        normal.map((row, p) => row.map((x, q) => (p === q ? x * (1 + damping) + 1e-12 : x))),
        slope,
      );
      const next = theta.map((x, p) => Math.min(HIGH[p], Math.max(LOW[p], x - step[p])));
      const there = residualsOf(next);
      const value = squares(there) + weight * distance(next);
      if (value < cost) {
        gained = cost - value > 1e-12 * cost;
        [theta, residuals, cost] = [next, there, value];
        damping = Math.max(damping / 5, 1e-9);
        break;
      }
      damping *= 4;
    }
    if (!gained) break;
  }
  return theta;
}

function dot(a, b) {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n] * b[n];
  return sum;
}

/** Gauss's elimination with pivots, for the few unknowns there are. */
function solve(matrix, right) {
  const size = right.length;
  const rows = matrix.map((row, n) => [...row, right[n]]);
  for (let n = 0; n < size; n++) {
    let pivot = n;
    for (let m = n + 1; m < size; m++) if (Math.abs(rows[m][n]) > Math.abs(rows[pivot][n])) pivot = m;
    [rows[n], rows[pivot]] = [rows[pivot], rows[n]];
    for (let m = n + 1; m < size; m++) {
      const factor = rows[n][n] === 0 ? 0 : rows[m][n] / rows[n][n];
      for (let k = n; k <= size; k++) rows[m][k] -= factor * rows[n][k];
    }
  }
  const solution = new Array(size).fill(0);
  for (let n = size - 1; n >= 0; n--) {
    let rest = rows[n][size];
    for (let k = n + 1; k < size; k++) rest -= rows[n][k] * solution[k];
    solution[n] = rows[n][n] === 0 ? 0 : rest / rows[n][n];
  }
  return solution;
}

function weightedRSquared(values, predicted, weights) {
  let [mean, total] = [0, 0];
  for (let n = 0; n < values.length; n++) {
    mean += weights[n] * values[n];
    total += weights[n];
  }
  mean /= total;
  let [error, spread] = [0, 0];
  for (let n = 0; n < values.length; n++) {
    error += weights[n] * (values[n] - predicted[n]) ** 2;
    spread += weights[n] * (values[n] - mean) ** 2;
  }
  return 1 - error / spread;
}

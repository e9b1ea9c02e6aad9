// The four numbers of a loss matrix, u, s, v and z, by least squares.
//
// Squares of all residuals, every document's scale solved for inside (variable projection), plus the
// residuals' variance times the squared distance from weak normal priors (bridge/model/terms.py).

import { applyLink, sharesOf } from "#toy/engine.js";
import { rSquared } from "#toy/measures.js";
import { generator } from "#toy/orders.js";
import { sharedLosses } from "#toy/sharing.js";

const logistic = (x) => 1 / (1 + Math.exp(-x));

// unfitted u and slow share s by their logits, variance v and half point z by their logarithms
const LOW = [-7, -7, -7, -5];
const HIGH = [7, 7, 7, 5];
const CENTRE = [0, 0, -1, 0];
const WIDTH = [1.5, 1.5, 1.5, 1];
const ROUNDS = 5;
// With more losses than this fewer starts must do, or a page would wait for many seconds.
const LARGE = 60_000;

export function numbersOf(theta) {
  return {
    unfitted: logistic(theta[0]),
    slowShare: logistic(theta[1]),
    varianceW: Math.exp(theta[2]),
    halfPoint: Math.exp(theta[3]),
  };
}

/**
 * Relative losses h(x) of the numbers in an order; without a half point the link is linear, without a shared
 * fraction all documents train all directions.
 */
export function shapesOf(numbers, tasks, order) {
  const { slow, fast } = sharesOf(numbers, order.length / tasks);
  const { varianceW, sharedFraction } = numbers;
  const x = sharedLosses({ tasks, slow, fast, varianceW, order, sharedFraction });
  return applyLink(x, numbers.halfPoint ?? Infinity);
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
 * @yields {number} part done, from 0 to 1, so that a page can go on living
 * @returns {object} the numbers, scales, prediction and R^2 over all losses
 */
export function* fitFour(matrix) {
  const { tasks, values, order } = matrix;
  const residualsOf = (theta) => {
    const shapes = shapesOf(numbersOf(theta), tasks, order);
    const scales = scalesOf(matrix, shapes);
    for (let n = 0; n < shapes.length; n++) shapes[n] = values[n] - scales[n % tasks] * shapes[n];
    return shapes;
  };
  const varianceOf = (residuals) => squares(residuals) / Math.max(1, values.length - tasks - 4);

  const enough = values.length > LARGE ? 1e-4 : 1e-10;
  const tried = [];
  const starts = startsOf(values.length > LARGE ? 10 : 24);
  for (const [n, theta] of starts.entries()) {
    tried.push({ theta, cost: squares(residualsOf(theta)) });
    yield (0.3 * n) / starts.length;
  }
  tried.sort((a, b) => a.cost - b.cost);
  let best = null;
  const kept = tried.slice(0, values.length > LARGE ? 1 : 3);
  for (const [n, start] of kept.entries()) {
    let theta = start.theta;
    let variance = varianceOf(residualsOf(theta));
    for (let round = 0; round < ROUNDS; round++) {
      const search = descend(residualsOf, theta, variance, round === 0 ? 30 : 15, enough);
      let step = search.next();
      while (!step.done) {
        yield 0.3 + (0.7 * (n + (round + step.value) / ROUNDS)) / kept.length;
        step = search.next();
      }
      theta = step.value;
      // The priors count in units of the residuals' own variance, which the fit decides.
      const found = varianceOf(residualsOf(theta));
      const settled = Math.abs(Math.log(found / variance)) < Math.max(1e-4, enough);
      variance = found;
      if (settled) break;
    }
    const evidence = distance(theta) + values.length * Math.log(variance);
    if (best === null || evidence < best.evidence) best = { theta, evidence };
  }
  const numbers = numbersOf(best.theta);
  const shapes = shapesOf(numbers, tasks, order);
  const scales = scalesOf(matrix, shapes);
  const prediction = scaled(shapes, scales);
  return { numbers, scales, prediction, r2: rSquared(values, prediction) };
}

/** All steps of `fitFour` at once. */
export function fitNow(matrix) {
  const search = fitFour(matrix);
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

/**
 * Levenberg's and Marquardt's descent in the box, with derivatives from differences; ends with a step that
 * lowers the cost by less than the part `enough` of it.
 */
function* descend(residualsOf, start, weight, most, enough) {
  const size = start.length;
  let theta = start.slice();
  let residuals = residualsOf(theta);
  let cost = squares(residuals) + weight * distance(theta);
  let damping = 1e-2;
  for (let turn = 0; turn < most; turn++) {
    yield turn / most;
    const columns = theta.map((x, p) => {
      const step = x + 1e-6 > HIGH[p] ? -1e-6 : 1e-6;
      const moved = residualsOf(theta.map((y, q) => (q === p ? y + step : y)));
      for (let n = 0; n < moved.length; n++) moved[n] = (moved[n] - residuals[n]) / step;
      return moved;
    });
    const slope = columns.map(
      (a, p) => dot(a, residuals) + (weight * (theta[p] - CENTRE[p])) / WIDTH[p] ** 2,
    );
    const normal = Array.from({ length: size }, () => new Array(size));
    for (let p = 0; p < size; p++) {
      for (let q = 0; q <= p; q++) normal[p][q] = normal[q][p] = dot(columns[p], columns[q]);
      normal[p][p] += weight / WIDTH[p] ** 2;
    }
    let gained = false;
    for (let attempt = 0; attempt < 8; attempt++) {
      const damped = normal.map((row, p) => row.map((x, q) => (p === q ? x * (1 + damping) + 1e-12 : x)));
      const step = solve(damped, slope);
      const next = theta.map((x, p) => Math.min(HIGH[p], Math.max(LOW[p], x - step[p])));
      const there = residualsOf(next);
      const value = squares(there) + weight * distance(next);
      if (value < cost) {
        gained = cost - value > enough * cost;
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

// The toy model itself in two dimensions: solutions and fast weights as points of a plane.
//
// Where the moments give expectations, this is one drawn start. Positions are relative to the consensus,
// which no episode moves, and the axes are scaled so that the solutions are spread alike in both at the end.

import { generator, normal } from "#toy/orders.js";

/**
 * A start in the plane: q_i standard normal, w with the given variance, both about the consensus
 * (B sum q + A w) / (B T + A).
 */
export function drawnStart({ tasks, slow, fast, varianceW, seed }) {
  const random = generator(seed + 101);
  const q = Float64Array.from({ length: 2 * tasks }, () => normal(random));
  const w = Float64Array.from({ length: 2 }, () => Math.sqrt(varianceW) * normal(random));
  const total = fast * tasks + slow;
  for (let axis = 0; axis < 2 && total !== 0; axis++) {
    let middle = (slow * w[axis]) / total;
    for (let j = 0; j < tasks; j++) middle += (fast * q[2 * j + axis]) / total;
    for (let j = 0; j < tasks; j++) q[2 * j + axis] -= middle;
    w[axis] -= middle;
  }
  return { q, w };
}

/** One episode on task i, in place. */
export function advance({ q, w }, i, slow, fast) {
  for (let axis = 0; axis < 2; axis++) {
    const r = q[2 * i + axis] - w[axis];
    q[2 * i + axis] -= slow * r;
    w[axis] += fast * r;
  }
}

/**
 * The whole path: what a picture needs at any episode.
 *
 * @returns {object} `at(t)` gives q (T x 2) and w after t episodes, `path` w after every episode, and
 *   `radius` the root mean square distance of the solutions from the consensus after every epoch
 */
export function ringPath({ tasks, slow, fast, varianceW, order, seed }) {
  const start = drawnStart({ tasks, slow, fast, varianceW, seed });
  const state = copy(start);
  const path = new Float64Array(2 * (1 + order.length));
  const epochs = Math.floor(order.length / tasks);
  const stages = [copy(start)];
  path.set(state.w, 0);
  for (let t = 0; t < order.length; t++) {
    advance(state, order[t], slow, fast);
    path.set(state.w, 2 * (t + 1));
    if ((t + 1) % tasks === 0) stages.push(copy(state));
  }
  const axes = evenAxes(lastClear(stages).q);
  const turned = (points) => transformed(points, axes);
  const radius = stages.map(({ q }) => rootMeanSquare(turned(q)));
  return {
    epochs,
    path: turned(path),
    radius,
    at(t) {
      const epoch = Math.min(Math.floor(t / tasks), stages.length - 1);
      const here = copy(stages[epoch]);
      for (let n = epoch * tasks; n < t; n++) advance(here, order[n], slow, fast);
      return { q: turned(here.q), w: turned(here.w) };
    },
  };
}

/** The latest stage that rounding has not reached. */
function lastClear(stages) {
  const first = rootMeanSquare(stages[0].q);
  const clear = stages.filter(({ q }) => {
    const size = rootMeanSquare(q);
    return size > 1e-9 * first && size < 1e12 * first;
  });
  return clear[clear.length - 1] ?? stages[0];
}

function copy({ q, w }) {
  return { q: q.slice(), w: w.slice() };
}

function rootMeanSquare(points) {
  let sum = 0;
  for (const x of points) sum += x * x;
  return Math.sqrt((2 * sum) / points.length);
}

/** The symmetric map that makes the spread of points the same in every direction, determinant 1. */
function evenAxes(points) {
  let [xx, xy, yy] = [0, 0, 0];
  for (let n = 0; n < points.length; n += 2) {
    xx += points[n] * points[n];
    xy += points[n] * points[n + 1];
    yy += points[n + 1] * points[n + 1];
  }
  const middle = (xx + yy) / 2;
  const apart = Math.hypot((xx - yy) / 2, xy);
  const [large, small] = [middle + apart, Math.max(middle - apart, 1e-6 * middle)];
  if (!(large > 0)) return [1, 0, 1];
  const angle = 0.5 * Math.atan2(2 * xy, xx - yy);
  // Along the longer axis shrink, along the shorter stretch.
  const [a, b] = [(small / large) ** 0.25, (large / small) ** 0.25];
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [a * c * c + b * s * s, (a - b) * c * s, a * s * s + b * c * c];
}

function transformed(points, [xx, xy, yy]) {
  const result = new Float64Array(points.length);
  for (let n = 0; n < points.length; n += 2) {
    result[n] = xx * points[n] + xy * points[n + 1];
    result[n + 1] = xy * points[n] + yy * points[n + 1];
  }
  return result;
}

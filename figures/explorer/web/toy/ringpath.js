// The toy model itself in two dimensions: solutions and fast weights as points of a plane.
//
// Where the moments give expectations, this is one drawn start. A view maps positions linearly so that the solutions are spread alike in every
// direction, smoothly from epoch to epoch: an ellipse is seen as the circle that it is from a slant.

import { generator, normal } from "#toy/orders.js";

/** A start in the plane: q_i standard normal, w with the given variance. */
export function drawnStart({ tasks, varianceW, seed }) {
  const random = generator(seed + 101);
  const q = Float64Array.from({ length: 2 * tasks }, () => normal(random));
  const w = Float64Array.from({ length: 2 }, () => Math.sqrt(varianceW) * normal(random));
  return { q, w };
}

/** Where all would meet, (B sum q + A w) / (B T + A): no episode with these shares moves it. */
export function consensus({ q, w }, slow, fast) {
  const total = (fast * q.length) / 2 + slow;
  if (total === 0) return [0, 0];
  return [0, 1].map((axis) => {
    let sum = slow * w[axis];
    for (let n = axis; n < q.length; n += 2) sum += fast * q[n];
    return sum / total;
  });
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
 * The whole path: what a picture needs at any episode, relative to the consensus of the last shares.
 *
 * @returns {object} `at(t)` gives q (T x 2) and w after t episodes, `path` w after every episode, `view(t)`
 *   the symmetric map that a picture applies, and `radius` the root mean square distance of the solutions
 *   from the consensus after every epoch
 */
export function ringPath({ tasks, slow, fast, varianceW, order, seed }) {
  const last = slow.length - 1;
  const state = drawnStart({ tasks, varianceW, seed });
  // With constant shares the consensus stays: all is reckoned from it, so that what shrinks keeps its digits.
  move(state, consensus(state, slow[last], fast[last]));
  const path = new Float64Array(2 * (1 + order.length));
  const stages = [copy(state)];
  path.set(state.w, 0);
  for (let t = 0; t < order.length; t++) {
    const epoch = Math.min(Math.floor(t / tasks), last);
    advance(state, order[t], slow[epoch], fast[epoch]);
    path.set(state.w, 2 * (t + 1));
    if ((t + 1) % tasks === 0) stages.push(copy(state));
  }
  // While shares drift the consensus moves; what follows is seen from where it ends.
  const end = consensus(stages[Math.min(last, stages.length - 1)], slow[last], fast[last]);
  if (last > 0) {
    for (const stage of stages) move(stage, end);
    for (let n = 0; n < path.length; n++) path[n] -= end[n % 2];
  }
  const views = stages.map(({ q }) => evenView(q));
  return {
    path,
    radius: stages.map(({ q }) => rootMeanSquare(q)),
    at(t) {
      const epoch = Math.min(Math.floor(t / tasks), stages.length - 1);
      const here = copy(stages[epoch]);
      const now = Math.min(epoch, last);
      for (let n = epoch * tasks; n < t; n++) advance(here, order[n], slow[now], fast[now]);
      return here;
    },
    view(t) {
      const epoch = Math.min(Math.floor(t / tasks), stages.length - 2);
      const part = t / tasks - epoch;
      // Between epochs geometrically: patterns shrink and grow by factors.
      const size = views[epoch].size ** (1 - part) * views[epoch + 1].size ** part;
      return views[epoch].map.map((x, n) => ((1 - part) * x + part * views[epoch + 1].map[n]) * size);
    },
  };
}

function move({ q, w }, [x, y]) {
  for (let n = 0; n < q.length; n += 2) {
    q[n] -= x;
    q[n + 1] -= y;
  }
  w[0] -= x;
  w[1] -= y;
}

function copy({ q, w }) {
  return { q: q.slice(), w: w.slice() };
}

function rootMeanSquare(points) {
  let sum = 0;
  for (const x of points) sum += x * x;
  return Math.sqrt((2 * sum) / points.length);
}

/** The symmetric map that gives points the same spread in every direction; its size by itself. */
function evenView(points) {
  let [xx, xy, yy] = [0, 0, 0];
  for (let n = 0; n < points.length; n += 2) {
    xx += points[n] * points[n];
    xy += points[n] * points[n + 1];
    yy += points[n + 1] * points[n + 1];
  }
  const middle = (xx + yy) / 2;
  if (!(middle > 0 && middle < Infinity)) return { map: [1, 0, 1], size: 1 };
  const size = Math.sqrt(points.length / 2 / middle);
  const apart = Math.hypot((xx - yy) / 2, xy);
  const [large, small] = [1 + apart / middle, Math.max(1 - apart / middle, 1e-8)];
  const angle = 0.5 * Math.atan2(2 * xy, xx - yy);
  const [a, b] = [large ** -0.5, small ** -0.5]; // along the longer axis shrink, along the shorter stretch
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return { map: [a * c * c + b * s * s, (a - b) * c * s, a * s * s + b * c * c], size };
}

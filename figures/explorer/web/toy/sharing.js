// Directions that only some of the documents use, bridge/model/sharing.py: losses are means over smaller rings.
//
// A coordinate of w belongs to a fraction p of the documents, which alone train it and whose losses it is part
// of; the part of a loss that lies in coordinates of p has the density of Beta(g, 1). Every such set of
// documents is a ring by itself. The sets are drawn as the Python package draws them, to the last member.

import {
  independentMoments,
  relativeLosses,
  reshuffledExpectation,
  reshuffledFactor,
  train,
} from "#toy/engine.js";
import { generator, shuffle } from "#toy/orders.js";

// Each size about half as large again as the one before; members of all sets of a size.
const RATIO = 1.5;
const MEMBERS = 800;
const SEED = 20240;
const KEPT = 8;

/** Numbers of documents that use a direction for which losses are worked out, from 1 to T. */
export function sizesOf(tasks) {
  const sizes = [1];
  for (let size = 1; size < tasks; ) {
    size = Math.min(Math.max(size + 1, halfToEven(size * RATIO)), tasks);
    sizes.push(size);
  }
  return sizes;
}

/** Rounded as Python rounds: what lies between two whole numbers to the even one. */
function halfToEven(x) {
  const above = Math.round(x);
  return above - x === 0.5 && above % 2 === 1 ? above - 1 : above;
}

const drawn = new Map();

/**
 * The sets of documents that directions are trained by, the last that of all.
 *
 * @returns {{rings: {size: number, members: Int32Array, shares: Float64Array}[], uses: number[][]}} `size`
 *   counts in `sizesOf`, `shares` is one over the number of sets of this size that a member is in, and `uses`
 *   has for every document the numbers of its sets, each followed by its place among the members
 */
export function ringsOf(tasks) {
  if (!drawn.has(tasks)) {
    if (drawn.size >= KEPT) drawn.delete(drawn.keys().next().value);
    drawn.set(tasks, draw(tasks));
  }
  return drawn.get(tasks);
}

function draw(tasks) {
  const random = generator(SEED);
  const rings = [];
  const uses = Array.from({ length: tasks }, () => []);
  for (const [size, count] of sizesOf(tasks).entries()) {
    const first = rings.length;
    const often = new Float64Array(tasks);
    const draws = count > 1 && count < tasks ? Math.ceil(MEMBERS / (tasks * count)) : 1;
    for (let n = 0; n < draws; n++) {
      const order = Int32Array.from({ length: tasks }, (_, j) => j);
      shuffle(order, 0, tasks - 1, random);
      // The last piece is filled up from the first, whose members are then in one set more.
      for (let begin = 0; begin < tasks; begin += count) {
        const members = Int32Array.from({ length: count }, (_, k) => order[(begin + k) % tasks]).sort();
        for (const [place, j] of members.entries()) {
          uses[j].push(rings.length, place);
          often[j] += 1;
        }
        rings.push({ size, members });
      }
    }
    for (const ring of rings.slice(first)) ring.shares = Float64Array.from(ring.members, (j) => 1 / often[j]);
  }
  return { rings, uses };
}

/**
 * Parts of a loss that lie in directions of rings of each of `sizesOf`; they sum to 1.
 *
 * Of the T - 1 other documents k - 1 use a direction with the probability of a beta-binomial distribution,
 * whose ratios are those of whole numbers and g; sizes between two that are worked out count for both.
 *
 * @param {number} fraction mean of p, g / (1 + g)
 */
export function partsOf(tasks, fraction) {
  const g = fraction / (1 - fraction);
  const sizes = sizesOf(tasks);
  const parts = new Float64Array(sizes.length);
  let rest = 1;
  let above = sizes.length - 1;
  for (let k = tasks; k >= 1; k--) {
    const chance = (rest * g) / (k - 1 + g);
    rest *= (k - 1) / (k - 1 + g);
    if (above > 0 && k <= sizes[above - 1]) above -= 1;
    const down = sizes[above] - k;
    const share = down > 0 ? down / (sizes[above] - sizes[above - 1]) : 0;
    parts[above] += (1 - share) * chance;
    if (share > 0) parts[above - 1] += share * chance;
  }
  return parts;
}

/**
 * Losses relative to before training, as `relativeLosses` gives them.
 *
 * @param {number} [setting.sharedFraction] mean part of the documents that train a direction; all train all
 *   if it is left out
 */
export function sharedLosses({ sharedFraction, ...setting }) {
  const out = relativeLosses(setting);
  if (sharedFraction === undefined) return out;
  const { tasks, slow, fast, varianceW, order } = setting;
  const { rings, uses } = ringsOf(tasks);
  const parts = partsOf(tasks, sharedFraction);
  const whole = parts[parts.length - 1];
  const start = (1 + varianceW) / 2;
  // The last ring is that of all documents, whose losses are known.
  const states = rings.slice(0, -1).map(({ members }) => ({
    moments: independentMoments(members.length, varianceW),
    losses: new Float64Array(members.length).fill(start),
  }));
  const now = new Float64Array(tasks);
  const after = new Float64Array(tasks);
  for (let row = 0, n = 0; row <= order.length; row++) {
    if (row > 0) {
      const epoch = Math.min(Math.floor((row - 1) / tasks), slow.length - 1);
      const own = uses[order[row - 1]];
      // Most sets are not trained by an episode; of those that are, what changes is added.
      for (let u = 0; u < own.length - 2; u += 2) {
        const { size, members, shares } = rings[own[u]];
        const { moments, losses } = states[own[u]];
        const part = parts[size] / start;
        train(moments, own[u + 1], slow[epoch], fast[epoch], after, 0);
        for (let k = 0; k < members.length; k++) {
          now[members[k]] += part * shares[k] * (after[k] - losses[k]);
          losses[k] = after[k];
        }
      }
    }
    // Every epoch anew, or the rounding of large losses would stay when they have become small.
    if (row % tasks === 0) {
      now.fill(0);
      for (const [number, { losses }] of states.entries()) {
        const { size, members, shares } = rings[number];
        const part = parts[size] / start;
        for (let k = 0; k < members.length; k++) now[members[k]] += part * shares[k] * losses[k];
      }
    }
    for (let j = 0; j < tasks; j++, n++) out[n] = whole * out[n] + Math.max(now[j], 0);
  }
  return out;
}

/**
 * Reshuffled every epoch, exactly: each ring's documents come in an order that is as much by chance as all
 * documents' is, and nothing of the ring changes between them.
 *
 * @returns {{online: Float64Array, after: Float64Array}} as `reshuffledExpectation` gives them
 */
export function sharedReshuffled({ sharedFraction, ...setting }) {
  if (sharedFraction === undefined) return reshuffledExpectation(setting);
  const parts = partsOf(setting.tasks, sharedFraction);
  const sum = { online: new Float64Array(setting.epochs), after: new Float64Array(setting.epochs) };
  for (const [size, tasks] of sizesOf(setting.tasks).entries()) {
    const one = reshuffledExpectation({ ...setting, tasks });
    for (const name of ["online", "after"]) {
      for (let e = 0; e < setting.epochs; e++) sum[name][e] += parts[size] * one[name][e];
    }
  }
  return sum;
}

/**
 * Growth of expected losses per reshuffled epoch: `reshuffledFactor` of the ring that changes most slowly.
 */
export function sharedFactor({ tasks, slow, fast, sharedFraction }) {
  const sizes = sharedFraction === undefined ? [tasks] : sizesOf(tasks);
  return Math.max(...sizes.map((size) => reshuffledFactor(size, slow, fast)));
}

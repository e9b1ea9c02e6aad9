// Closed forms of cyclic training, a ring (toymodel/theory/ring.py; docs/theory.md, sections 5 to 8).

import { scoreOf } from "#toy/measures.js";

/** Whether no loss grows: A >= 0, A + B <= 2 and A + B T >= 0. */
export function isStable(slow, fast, tasks) {
  return slow >= 0 && slow + fast <= 2 && slow + fast * tasks >= 0;
}

/**
 * Largest stable slow share s = A/(A+B) of an episode, given what it leaves unfitted: where
 * A' + B' T = 0. From there on the consensus of all tasks is lost. Infinity where there is none.
 */
export function slowShareLimit({ tasks, similarity = 0 }) {
  // With A = s f, B = (1 - s) f, and the gauge: s (1 - h) + T (1 - s + s h) = 0.
  const room = tasks - 1 - similarity * (tasks - 1);
  return room > 0 ? tasks / room : Infinity;
}

/** Turns of the fast weights around the ring's centre in an epoch, 1 / (1 + A/(B T)). */
export function turnsPerEpoch(slow, fast, tasks) {
  return 1 - slow / (fast + slow / tasks) / tasks;
}

/**
 * Roots besides 1 of mu^{T+1} - (1-B) mu^T - (1-A) mu + (1-A-B), largest modulus first.
 *
 * They are the factors by which a mode changes from one episode to the next. All at once by Aberth's
 * iteration on the sparse form, with the known root 1 kept among the repelling ones.
 *
 * @returns {{re: Float64Array, im: Float64Array}} T roots
 */
export function ringRoots(slow, fast, tasks) {
  const left = 1 - slow - fast;
  const re = new Float64Array(tasks);
  const im = new Float64Array(tasks);
  // Without B the rest of the polynomial is mu^T = 1 - A.
  if (Math.abs(fast) < 1e-14) {
    const radius = Math.abs(left) ** (1 / tasks);
    for (let k = 0; k < tasks; k++) {
      const angle = (2 * Math.PI * (k + (left < 0 ? 0.5 : 0))) / tasks;
      re[k] = radius * Math.cos(angle);
      im[k] = radius * Math.sin(angle);
    }
    return sorted(re, im);
  }
  // With nothing left unfitted one root is exactly 0 and the others solve mu^{T-1} + B (... + 1) = 0.
  const zero = Math.abs(left) < 1e-15;
  const count = zero ? tasks - 1 : tasks;
  const radius = Math.abs(zero ? fast : left) ** (1 / count) || Math.abs(fast) ** (1 / tasks);
  for (let k = 0; k < count; k++) {
    const angle = (2 * Math.PI * (k + 0.37)) / count;
    const r = Math.max(radius, 1e-3) * (1 + 0.02 * Math.cos(3 * k));
    re[k] = r * Math.cos(angle);
    im[k] = r * Math.sin(angle);
  }
  // mu^p (mu (mu - 1 + B)) - (1 - A) mu + left for p = T - 1; divided by mu where left is 0.
  const [constant, linear] = zero ? [-(1 - slow), 0] : [left, -(1 - slow)];
  const high = zero ? tasks : tasks + 1;
  const above = 1 - fast;
  for (let sweep = 0; sweep < 200; sweep++) {
    let moved = 0;
    for (let k = 0; k < count; k++) {
      const mu = [re[k], im[k]];
      const modulus = Math.hypot(...mu);
      // f = mu^(high-1) (mu - above) + linear mu + constant; its logarithmic derivative f'/f.
      const slope =
        modulus > 1
          ? slopeOutside(mu, high, above, linear, constant)
          : slopeInside(mu, high, above, linear, constant);
      if (slope === null) continue;
      // Aberth: Newton's step against the pull of all other roots, the known root 1 among them.
      let [sr, si] = slope;
      const repel = (x, y) => {
        const d = x * x + y * y || 1e-300;
        sr -= x / d;
        si += y / d;
      };
      repel(mu[0] - 1, mu[1]);
      for (let m = 0; m < count; m++) if (m !== k) repel(mu[0] - re[m], mu[1] - im[m]);
      const [stepR, stepI] = divide([1, 0], [sr, si]);
      re[k] -= stepR;
      im[k] -= stepI;
      moved = Math.max(moved, Math.hypot(stepR, stepI) / Math.max(modulus, 1e-3));
    }
    if (moved < 1e-15) break;
  }
  return sorted(re, im);
}

const times = ([a, b], [c, d]) => [a * c - b * d, a * d + b * c];
const plus = ([a, b], [c, d]) => [a + c, b + d];
const by = (factor, [a, b]) => [factor * a, factor * b];

function divide([a, b], [c, d]) {
  const size = c * c + d * d || 1e-300;
  return [(a * c + b * d) / size, (b * c - a * d) / size];
}

function raised([x, y], exponent) {
  const size = Math.hypot(x, y) ** exponent;
  const angle = exponent * Math.atan2(y, x);
  return [size * Math.cos(angle), size * Math.sin(angle)];
}

/** f'/f inside the unit circle, from the powers of mu; null at a root. */
function slopeInside(mu, high, above, linear, constant) {
  const low = raised(mu, high - 2);
  const next = times(low, mu);
  const f = plus(times(next, plus(mu, [-above, 0])), plus(by(linear, mu), [constant, 0]));
  const slope = plus(by(high, next), plus(by(-above * (high - 1), low), [linear, 0]));
  return f[0] === 0 && f[1] === 0 ? null : divide(slope, f);
}

/** The same outside, where powers of mu overflow and those of 1/mu do not: f = mu^high g. */
function slopeOutside(mu, high, above, linear, constant) {
  const inverse = divide([1, 0], mu);
  const low = raised(inverse, high);
  const g = plus(plus([1, 0], by(-above, inverse)), plus(by(linear, times(low, mu)), by(constant, low)));
  const slope = plus(
    by(above, times(inverse, inverse)),
    plus(by(linear * (1 - high), low), by(-constant * high, times(low, inverse))),
  );
  return g[0] === 0 && g[1] === 0 ? null : plus(by(high, inverse), divide(slope, g));
}

/** Largest modulus first; of a conjugate pair the one above the axis. */
function sorted(re, im) {
  const index = Array.from(re, (_, k) => k);
  const modulus = index.map((k) => Number(Math.hypot(re[k], im[k]).toFixed(12)));
  index.sort((a, b) => modulus[b] - modulus[a] || im[b] - im[a]);
  return { re: Float64Array.from(index, (k) => re[k]), im: Float64Array.from(index, (k) => im[k]) };
}

/** Eigenvalues of an epoch of a ring: the T-th powers of its roots. */
export function epochEigenvalues(slow, fast, tasks) {
  return power(ringRoots(slow, fast, tasks), tasks);
}

function power({ re, im }, exponent) {
  const modulus = re.map((x, k) => Math.hypot(x, im[k]) ** exponent);
  const angle = re.map((x, k) => Math.atan2(im[k], x) * exponent);
  return {
    re: modulus.map((m, k) => m * Math.cos(angle[k])),
    im: modulus.map((m, k) => m * Math.sin(angle[k])),
  };
}

/**
 * Recovery score that cyclic training approaches, from the dominant pair of modes: the loss at lag d is
 * |1 - (W/Q) mu^d|^2 up to a factor.
 */
export function approachedRecovery(slow, fast, tasks) {
  const none = (reason) => ({ value: Number.NaN, reason });
  if (!isStable(slow, fast, tasks)) return none("training diverges");
  const { re, im } = ringRoots(slow, fast, tasks);
  const modulus = (k) => Math.hypot(re[k], im[k]);
  if (modulus(0) < 1e-9) return none("one epoch solves every task");
  const rival = im[0] !== 0 && Math.abs(im[0]) > 1e-12 ? 2 : 1;
  if (rival < tasks && modulus(rival) > (1 - 1e-9) * modulus(0)) {
    return none("no single pair of modes dominates");
  }
  const [x, y] = [re[0], im[0]];
  const angle = Math.atan2(y, x);
  const below = (x - (1 - fast)) ** 2 + y * y;
  const losses = Array.from({ length: tasks }, (_, d) => {
    const size = fast * modulus(0) ** (1 - tasks + d);
    const [pr, pi] = [size * Math.cos((1 - tasks + d) * angle), size * Math.sin((1 - tasks + d) * angle)];
    const br = x - (1 - fast);
    return (1 - (pr * br + pi * y) / below) ** 2 + ((pi * br - pr * y) / below) ** 2;
  });
  return scoreOf(losses[0], Math.max(...losses), losses[tasks - 1]);
}

// The toy in JavaScript against slow, obvious versions of itself, and against closed forms.

import assert from "node:assert/strict";
import test from "node:test";
import {
  applyLink,
  expectedLosses,
  independentMoments,
  relativeLosses,
  reshuffledExpectation,
  reshuffledFactor,
  sharesOf,
} from "../../../../figures/explorer/web/toy/engine.js";
import { fitNow, numbersOf, scaled, shapesOf } from "../../../../figures/explorer/web/toy/fit.js";
import {
  curvesByLag,
  onlineLosses,
  recoveryScores,
  scoreOf,
} from "../../../../figures/explorer/web/toy/measures.js";
import { generator, makeOrder, ORDERS, repeats } from "../../../../figures/explorer/web/toy/orders.js";
import {
  palindromeEigenvalues,
  symmetricEigenvalues,
} from "../../../../figures/explorer/web/toy/palindrome.js";
import {
  approachedRecovery,
  isStable,
  ringRoots,
  slowShareLimit,
} from "../../../../figures/explorer/web/toy/ring.js";
import { drawnStart, ringPath } from "../../../../figures/explorer/web/toy/ringpath.js";

const near = (found, expected, within, what = "") =>
  assert.ok(Math.abs(found - expected) <= within, `${what} ${found} is not ${expected}`);

/** One coordinate as rows over the independent starts: losses are sums of squares of differences. */
function slowLosses(tasks, slow, fast, varianceW, order) {
  const rows = Array.from({ length: tasks + 1 }, (_, j) =>
    Array.from({ length: tasks + 1 }, (__, k) => (j === k ? (j < tasks ? 1 : Math.sqrt(varianceW)) : 0)),
  );
  const w = rows[tasks];
  const losses = () => rows.slice(0, tasks).map((q) => q.reduce((s, x, k) => s + (x - w[k]) ** 2 / 2, 0));
  const out = [...losses()];
  for (const i of order) {
    const r = rows[i].map((x, k) => x - w[k]);
    for (const [k, value] of r.entries()) {
      rows[i][k] -= slow * value;
      w[k] += fast * value;
    }
    out.push(...losses());
  }
  return out;
}

test("expected losses are those of the recursion written out", () => {
  for (const kind of Object.keys(ORDERS)) {
    const order = makeOrder(kind, 6, 4, 3);
    const found = expectedLosses(independentMoments(6, 0.7), [0.4], [0.35], order);
    for (const [n, loss] of slowLosses(6, 0.4, 0.35, 0.7, order).entries()) near(found[n], loss, 1e-13, kind);
  }
});

test("uniform similarity is orthogonal data with other shares", () => {
  const { slow, fast } = sharesOf({ unfitted: 0.1, slowShare: 0.4, similarity: 0.3 });
  near(slow[0], 0.9 * 0.4 * 0.7, 1e-15);
  near(slow[0] + fast[0], 0.9, 1e-15);
});

test("drifts move logits, where there are any", () => {
  const { slow, fast } = sharesOf({ unfitted: 0.2, slowShare: 0.5, slowDrift: -1, unfittedDrift: 0.5 }, 3);
  const logit = (x) => Math.log(x / (1 - x));
  for (const e of [0, 1, 2]) {
    near(logit(slow[e] / (slow[e] + fast[e])), -e, 1e-12);
    near(logit(1 - slow[e] - fast[e]), logit(0.2) + 0.5 * e, 1e-12);
  }
  const none = sharesOf({ unfitted: 0, slowShare: 1.2, slowDrift: -1, unfittedDrift: 0.5 }, 3);
  near(none.slow[2], 1.2, 1e-15);
});

test("relative losses start at 1, and the saturating link keeps 0 and 1", () => {
  const order = makeOrder("cyclic", 5, 2);
  const x = relativeLosses({ tasks: 5, slow: [0.3], fast: [0.6], varianceW: 2, order });
  assert.deepEqual([...x.subarray(0, 5)], [1, 1, 1, 1, 1]);
  const linked = applyLink(Float64Array.of(0, 0.5, 1), 2);
  assert.deepEqual([...linked], [0, 1.5 / 2.5, 1]);
  assert.deepEqual([...applyLink(Float64Array.of(0.25), Infinity)], [0.25]);
});

test("the reshuffled expectation is the mean over all orders of short runs", () => {
  const permutations = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  const sums = [0, 0];
  for (const one of permutations) {
    for (const two of permutations) {
      const order = [...one, ...two];
      const values = relativeLosses({ tasks: 3, slow: [0.3], fast: [0.6], varianceW: 0.5, order });
      const online = onlineLosses({ tasks: 3, values, order });
      for (const e of [0, 1]) sums[e] += online[e] / 36;
    }
  }
  const { online } = reshuffledExpectation({ tasks: 3, slow: [0.3], fast: [0.6], varianceW: 0.5, epochs: 2 });
  for (const e of [0, 1]) near(online[e], sums[e], 1e-14);
});

test("the factor of reshuffled epochs is what losses change by in the end", () => {
  const setting = { tasks: 8, slow: [0.3], fast: [0.6], varianceW: 0.5, epochs: 20 };
  const { after } = reshuffledExpectation(setting);
  near(after[19] / after[18], reshuffledFactor(8, 0.3, 0.6), 1e-8);
});

test("orders are what they are called", () => {
  const row = (order, e) => [...order.subarray(5 * e, 5 * e + 5)];
  const sortedRow = (order, e) => row(order, e).sort();
  assert.deepEqual(row(makeOrder("cyclic", 5, 3), 2), [0, 1, 2, 3, 4]);
  assert.deepEqual(row(makeOrder("palindrome", 5, 3), 1), [4, 3, 2, 1, 0]);
  const shuffled = makeOrder("reshuffled", 5, 40, 1);
  for (let e = 0; e < 40; e++) assert.deepEqual(sortedRow(shuffled, e), [0, 1, 2, 3, 4]);
  const middle = makeOrder("middle", 5, 40, 1);
  for (let e = 0; e < 40; e++) assert.deepEqual([row(middle, e)[0], row(middle, e)[4]], [0, 4]);
  assert.ok(repeats(makeOrder("cyclic", 5, 3), 5) && !repeats(shuffled, 5) && !repeats(middle, 5));
  const longer = makeOrder("iid", 5, 9, 4);
  assert.deepEqual([...longer.subarray(0, 25)], [...makeOrder("iid", 5, 5, 4)]);
});

test("every task is drawn first about equally often", () => {
  const counts = new Float64Array(5);
  const order = makeOrder("reshuffled", 5, 4000, 2);
  for (let e = 0; e < 4000; e++) counts[order[5 * e]] += 1;
  for (const count of counts) near(count, 800, 130); // five standard deviations
  const random = generator(9);
  let sum = 0;
  for (let n = 0; n < 10000; n++) sum += random();
  near(sum / 10000, 0.5, 0.015);
});

test("recovery scores say why there are none", () => {
  near(scoreOf(1, 3, 2).value, 0.5, 1e-15);
  assert.match(scoreOf(3, 3, 2).reason, /only falls/);
  assert.match(scoreOf(2, 3, 1).reason, /below the one after/);
  assert.match(scoreOf(0, 1e-20, 1e-20, 1).reason, /rounding/);
});

test("loss by lag averages documents that were visited equally often", () => {
  // Two documents, two epochs: rows before, then after 0, 1, 0, 1.
  const values = Float64Array.of(9, 9, 1, 8, 4, 2, 0.5, 5, 3, 1);
  const [first, second] = curvesByLag({ tasks: 2, values, order: Int32Array.of(0, 1, 0, 1) });
  assert.deepEqual([...first], [(1 + 2) / 2, (4 + 5) / 2]);
  assert.deepEqual([...second], [(0.5 + 1) / 2, 3]);
});

test("roots of the ring solve its polynomial", () => {
  for (const [slow, fast, tasks] of [
    [1 / 3, 2 / 3, 25],
    [0.3, 0.2, 25],
    [0.9, 0.05, 200],
    [1.3, -0.3, 10],
    [0.5, 0, 4],
    [0.02, 0.01, 60],
  ]) {
    const { re, im } = ringRoots(slow, fast, tasks);
    assert.equal(re.length, tasks);
    // The product of all roots but 1 is (-1)^T times what stands without mu, of mu^T + B(...) - (1-A-B).
    let [pr, pi] = [1, 0];
    for (let k = 0; k < tasks; k++) {
      [pr, pi] = [pr * re[k] - pi * im[k], pr * im[k] + pi * re[k]];
      // Their sum relation, root by root: mu^{T-1} (mu - 1 + B) = (1 - A) - (1-A-B)/mu, in moduli safe.
      const modulus = Math.hypot(re[k], im[k]);
      if (modulus < 1e-8) continue;
      const angle = Math.atan2(im[k], re[k]);
      const size = modulus ** tasks;
      const [qr, qi] = [size * Math.cos(tasks * angle), size * Math.sin(tasks * angle)];
      const fr = qr * (re[k] - 1 + fast) - qi * im[k] - (1 - slow) * re[k] + (1 - slow - fast);
      const fi = qr * im[k] + qi * (re[k] - 1 + fast) - (1 - slow) * im[k];
      assert.ok(Math.hypot(fr, fi) < 1e-11 * (1 + size), `${slow} ${fast} ${tasks}: ${Math.hypot(fr, fi)}`);
    }
    near(pr, (tasks % 2 ? 1 : -1) * (1 - slow - fast), 1e-9, "product");
    near(pi, 0, 1e-9, "product");
  }
});

test("the stability limit is where a root leaves the circle", () => {
  const largest = (s) => {
    const { slow, fast } = sharesOf({ unfitted: 0.2, slowShare: s, similarity: 0.1 });
    const { re, im } = ringRoots(slow[0], fast[0], 12);
    return { modulus: Math.hypot(re[0], im[0]), stable: isStable(slow[0], fast[0], 12) };
  };
  const limit = slowShareLimit({ tasks: 12, similarity: 0.1 });
  assert.ok(largest(0.999 * limit).modulus < 1 && largest(0.999 * limit).stable);
  assert.ok(largest(1.001 * limit).modulus > 1 && !largest(1.001 * limit).stable);
});

test("long training approaches the recovery that the spectrum predicts", () => {
  const order = makeOrder("cyclic", 10, 25); // later losses sink to rounding
  const values = relativeLosses({ tasks: 10, slow: [0.4], fast: [0.5], varianceW: 0.3, order });
  // Scores swing about it as the pair turns, by as much as the initial moments decide: a turn's mean.
  const last = recoveryScores({ tasks: 10, values, order }).slice(-8);
  const mean = last.reduce((sum, { value }) => sum + value / 8, 0);
  near(mean, approachedRecovery(0.4, 0.5, 10).value, 1e-3);
});

test("eigenvalues of symmetric matrices", () => {
  const second = [...symmetricEigenvalues([Float64Array.of(2, 1), Float64Array.of(1, 2)])].sort();
  near(second[0], 1, 1e-14);
  near(second[1], 3, 1e-14);
  // The path of 7 points has eigenvalues 2 - 2 cos(pi k / 8).
  const path = Array.from({ length: 7 }, (_, j) =>
    Float64Array.from({ length: 7 }, (__, k) => (j === k ? 2 : Math.abs(j - k) === 1 ? -1 : 0)),
  );
  const found = [...symmetricEigenvalues(path)].sort((a, b) => a - b);
  for (const [k, value] of found.entries()) near(value, 2 - 2 * Math.cos((Math.PI * (k + 1)) / 8), 1e-13);
});

test("a palindrome's eigenvalues are what losses change by, and lie in [0, 1)", () => {
  const values = palindromeEigenvalues(0.3, 0.5, 9);
  assert.ok(values.every((x) => x > -1e-12 && x < 1));
  const order = makeOrder("palindrome", 9, 400);
  const losses = relativeLosses({ tasks: 9, slow: [0.3], fast: [0.5], varianceW: 1, order });
  const sum = (epoch) => losses.subarray(epoch * 81, epoch * 81 + 9).reduce((a, b) => a + b);
  near(sum(202) / sum(200), values[0] ** 2, 1e-3);
});

test("a fit finds the numbers that made the losses", () => {
  const truth = { unfitted: 0.25, slowShare: 0.45, varianceW: 2, halfPoint: 0.4 };
  const order = makeOrder("cyclic", 12, 5);
  const shapes = shapesOf(truth, 12, order);
  const scales = Float64Array.from({ length: 12 }, (_, j) => 3 + 0.2 * j);
  const found = fitNow({ tasks: 12, values: scaled(shapes, scales), order });
  assert.ok(found.r2 > 1 - 1e-9);
  for (const [name, value] of Object.entries(truth)) near(found.numbers[name] / value, 1, 1e-3, name);
  for (const [j, scale] of scales.entries()) near(found.scales[j], scale, 1e-3 * scale);
});

test("numbers of theta are in their own units", () => {
  assert.deepEqual(numbersOf([0, 0, 0, 0]), { unfitted: 0.5, slowShare: 0.5, varianceW: 1, halfPoint: 1 });
});

test("the plane's consensus stays where it is, and its paths can be entered anywhere", () => {
  const setting = { tasks: 7, slow: [0.3], fast: [0.5], varianceW: 1, seed: 3 };
  const order = makeOrder("cyclic", 7, 6);
  const path = ringPath({ ...setting, order });
  for (const t of [0, 5, 7, 40]) {
    const { q, w } = path.at(t);
    for (const axis of [0, 1]) {
      let sum = setting.slow[0] * w[axis];
      for (let j = 0; j < 7; j++) sum += setting.fast[0] * q[2 * j + axis];
      near(sum, 0, 1e-12);
      near(w[axis], path.path[2 * t + axis], 1e-14);
    }
  }
  assert.notDeepEqual([...drawnStart(setting).q], [...drawnStart({ ...setting, seed: 4 }).q]);
  assert.ok(path.radius.at(-1) < path.radius[0]);
});

test("the view gives the solutions an even spread at every epoch", () => {
  const order = makeOrder("cyclic", 9, 5);
  const path = ringPath({ tasks: 9, slow: [0.3], fast: [0.6], varianceW: 1, seed: 5, order });
  const { q } = path.at(27);
  const [xx, xy, yy] = path.view(27);
  const sums = [0, 0, 0];
  for (let j = 0; j < 9; j++) {
    const [x, y] = [xx * q[2 * j] + xy * q[2 * j + 1], xy * q[2 * j] + yy * q[2 * j + 1]];
    for (const [n, part] of [x * x, y * y, x * y].entries()) sums[n] += part / 9;
  }
  near(sums[0], 1, 1e-9);
  near(sums[1], 1, 1e-9);
  near(sums[2], 0, 1e-9);
});

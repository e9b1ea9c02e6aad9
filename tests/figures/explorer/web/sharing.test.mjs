// Directions that some documents train, against rings run one by one and closed forms.

import assert from "node:assert/strict";
import test from "node:test";
import {
  expectedLosses,
  independentMoments,
  relativeLosses,
} from "../../../../figures/explorer/web/toy/engine.js";
import { makeOrder, ORDERS } from "../../../../figures/explorer/web/toy/orders.js";
import { palindromeEigenvalues } from "../../../../figures/explorer/web/toy/palindrome.js";
import { epochEigenvalues } from "../../../../figures/explorer/web/toy/ring.js";
import {
  partsOf,
  ringsOf,
  sharedFactor,
  sharedLosses,
  sharedReshuffled,
  sizesOf,
} from "../../../../figures/explorer/web/toy/sharing.js";

const near = (found, expected, within, what = "") =>
  assert.ok(Math.abs(found - expected) <= within, `${what} ${found} is not ${expected}`);
const sum = (values) => values.reduce((a, b) => a + b, 0);

test("sizes of rings grow by half, from one document to all", () => {
  assert.deepEqual(sizesOf(1), [1]);
  assert.deepEqual(sizesOf(25), [1, 2, 3, 4, 6, 9, 14, 21, 25]);
  assert.deepEqual(sizesOf(200).slice(-4), [72, 108, 162, 200]);
});

test("parts are all of a loss, and those of a uniform fraction are alike", () => {
  for (const tasks of [1, 2, 9, 25, 200]) {
    for (const fraction of [0.05, 0.3, 0.5, 0.9, 0.994]) {
      near(sum(partsOf(tasks, fraction)), 1, 1e-12, `${tasks} ${fraction}`);
    }
  }
  // With few documents every size is worked out, and each is as likely as any other.
  for (const part of partsOf(4, 0.5)) near(part, 1 / 4, 1e-15);
});

test("every document is in about as many sets, the last of which is all", () => {
  const { rings, uses } = ringsOf(25);
  assert.deepEqual([...rings.at(-1).members], [...Array(25).keys()]);
  for (const [j, own] of uses.entries()) {
    assert.deepEqual(own.slice(-2), [rings.length - 1, j]);
    for (let u = 0; u < own.length; u += 2) assert.equal(rings[own[u]].members[own[u + 1]], j);
    const counted = new Float64Array(sizesOf(25).length);
    for (let u = 0; u < own.length; u += 2) counted[rings[own[u]].size] += rings[own[u]].shares[own[u + 1]];
    for (const part of counted) near(part, 1, 1e-12);
  }
});

test("losses are the means over rings run by themselves, in every order", () => {
  const [tasks, epochs, varianceW, fraction] = [7, 4, 0.6, 0.4];
  const [slow, fast] = [
    [0.5, 0.3],
    [0.2, 0.4],
  ];
  const parts = partsOf(tasks, fraction);
  for (const kind of Object.keys(ORDERS)) {
    const order = makeOrder(kind, tasks, epochs, 3);
    const expected = new Float64Array((1 + order.length) * tasks);
    for (const { size, members, shares } of ringsOf(tasks).rings) {
      const moments = independentMoments(members.length, varianceW);
      const losses = new Float64Array(members.length).fill((1 + varianceW) / 2);
      for (let row = 0; row <= order.length; row++) {
        const i = row > 0 ? members.indexOf(order[row - 1]) : -1;
        const epoch = Math.floor((row - 1) / tasks) > 0 ? 1 : 0;
        if (i >= 0)
          losses.set(expectedLosses(moments, [slow[epoch]], [fast[epoch]], [i]).slice(members.length));
        for (const [k, j] of members.entries()) {
          expected[row * tasks + j] += (parts[size] * shares[k] * losses[k] * 2) / (1 + varianceW);
        }
      }
    }
    const found = sharedLosses({ tasks, slow, fast, varianceW, order, sharedFraction: fraction });
    for (const [n, loss] of found.entries()) near(loss, expected[n], 1e-13, kind);
  }
});

test("when all share everything it is the toy, and without a number it is the toy to the last bit", () => {
  const setting = { tasks: 9, slow: [0.3], fast: [0.5], varianceW: 0.4, order: makeOrder("cyclic", 9, 3) };
  const plain = relativeLosses(setting);
  assert.deepEqual(sharedLosses(setting), plain);
  const found = sharedLosses({ ...setting, sharedFraction: 1 - 1e-9 });
  for (const [n, loss] of found.entries()) near(loss, plain[n], 1e-7);
});

test("losses that have become small keep their digits", () => {
  const setting = { tasks: 5, slow: [0.95], fast: [0.05], varianceW: 1, sharedFraction: 0.5 };
  const losses = sharedLosses({ ...setting, order: makeOrder("cyclic", 5, 12) });
  // Alone or with others: what is left is of the size of one product of rounding, not of many sums of it.
  for (const loss of losses.slice(-5)) assert.ok(loss >= 0 && loss < 2e-16, `${loss}`);
});

test("the reshuffled expectation is the mean over all orders", () => {
  const orders = [[0]];
  for (let n = 1; n < 4; n++) {
    for (const one of orders.splice(0)) {
      for (let at = 0; at <= n; at++) orders.push([...one.slice(0, at), n, ...one.slice(at)]);
    }
  }
  assert.equal(orders.length, 24);
  const setting = { tasks: 4, slow: [0.3, 0.5], fast: [0.6, 0.3], varianceW: 0.5, sharedFraction: 0.4 };
  const online = [0, 0];
  const after = [0, 0];
  for (const one of orders) {
    for (const two of orders) {
      const order = [...one, ...two];
      const losses = sharedLosses({ ...setting, order });
      for (const [t, j] of order.entries()) online[Math.floor(t / 4)] += losses[4 * t + j] / 4 / 576;
      for (const e of [0, 1]) after[e] += sum(losses.slice(16 * (e + 1), 16 * (e + 1) + 4)) / 4 / 576;
    }
  }
  const found = sharedReshuffled({ ...setting, epochs: 2 });
  for (const e of [0, 1]) near(found.online[e], online[e], 1e-13);
  for (const e of [0, 1]) near(found.after[e], after[e], 1e-13);
});

test("in a fixed order no smaller ring outlasts that of all documents", () => {
  // So what the page says of the end, from the spectrum of all documents, holds for the loss.
  for (const unfitted of [0, 0.1, 0.5, 0.9]) {
    for (const share of [0.05, 0.3, 0.7, 0.95]) {
      const [slow, fast] = [(1 - unfitted) * share, (1 - unfitted) * (1 - share)];
      const cyclic = sizesOf(25).map((size) => {
        const { re, im } = epochEigenvalues(slow, fast, size);
        return Math.hypot(re[0], im[0]);
      });
      const palindrome = sizesOf(25).map((size) =>
        Math.max(...palindromeEigenvalues(slow, fast, size).map(Math.abs)),
      );
      for (const factors of [cyclic, palindrome]) {
        assert.ok(Math.max(...factors) <= factors.at(-1) + 1e-9, `${unfitted} ${share}: ${factors}`);
      }
    }
  }
});

test("in reshuffled orders one may, and the loss in the end goes with it", () => {
  const shares = { tasks: 59, slow: 0.82, fast: 0.1 };
  const whole = sharedFactor(shares);
  const factor = sharedFactor({ ...shares, sharedFraction: 0.5 });
  const setting = { tasks: 59, slow: [0.82], fast: [0.1], varianceW: 0.5, epochs: 12, sharedFraction: 0.5 };
  const { after } = sharedReshuffled(setting);
  const last = after[11] / after[10];
  assert.ok(last > whole * 1.02 && last < factor, `${whole} ${last} ${factor}`);
});

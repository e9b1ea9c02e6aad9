// Links: what they keep, and that nothing in them can lead the page astray.

import assert from "node:assert/strict";
import test from "node:test";
import { compute, measured } from "../../../../figures/explorer/web/compute.js";
import { DEFAULTS, fromHash, NUMBERS, toHash, within } from "../../../../figures/explorer/web/state.js";
import { fitNow } from "../../../../figures/explorer/web/toy/fit.js";
import { makeOrder } from "../../../../figures/explorer/web/toy/orders.js";

test("a link brings back what it was made of", () => {
  const state = { ...DEFAULTS, tasks: 40, slowShare: 0.7, order: "palindrome", link: "saturating", seed: 7 };
  assert.deepEqual(fromHash(toHash(state)), state);
  assert.equal(toHash(DEFAULTS), "#");
  assert.deepEqual(fromHash(""), DEFAULTS);
});

test("a link keeps what directions are trained by", () => {
  const state = { ...DEFAULTS, sharing: "part", sharedFraction: 0.7 };
  assert.equal(toHash(state), "#p=0.7&sharing=part");
  assert.deepEqual(fromHash(toHash(state)), state);
  assert.equal(fromHash("#sharing=some").sharing, "all");
  assert.equal(fromHash("#sharing=part&p=1").sharedFraction, NUMBERS.sharedFraction.high);
  assert.equal(fromHash("#sharing=part&p=much").sharedFraction, DEFAULTS.sharedFraction);
});

test("hostile and broken links end inside the ranges", () => {
  for (const hash of [
    "#T=1e9&E=-3&s=NaN&u=Infinity&v=0&z=-1&h=2",
    "#order=__proto__&link=constructor&seed=1.5&document=0&run=<script>",
    "#T=%F0%9F&&&===&s",
    "#T=abc&document=999999",
  ]) {
    const state = fromHash(`${hash}&sharing=__proto__&p=-3`, (id) => id === "known");
    for (const [name, { low, high }] of Object.entries(NUMBERS)) {
      assert.ok(state[name] >= low && state[name] <= high, `${hash}: ${name} ${state[name]}`);
    }
    assert.ok(state.document <= state.tasks);
    assert.equal(state.run, "");
    assert.equal(state.order, "cyclic");
    assert.ok(["linear", "saturating"].includes(state.link));
    assert.equal(state.sharing, "all");
  }
});

test("scales go there and back", () => {
  for (const [name, { scale, low, high }] of Object.entries(NUMBERS)) {
    for (const place of [0, 0.1, 0.5, 0.79, 0.81, 1]) {
      assert.ok(Math.abs(scale.place(scale.value(place)) - place) < 1e-12, name);
    }
    assert.ok(Math.abs(scale.value(0) - low) < 1e-12 * (1 + Math.abs(low)));
    assert.ok(Math.abs(scale.value(1) - high) < 1e-9 * high);
  }
  assert.equal(within("tasks", 3.7, 25), 4);
  assert.equal(within("tasks", Number.NaN, 25), 25);
});

function runOf(tasks, epochs, kind = "cyclic") {
  const order = makeOrder(kind, tasks, epochs, 5);
  const state = { ...DEFAULTS, tasks, epochs, order: kind, seed: 5, unfitted: 0.2, slowShare: 0.4 };
  const { toy } = compute({ ...state, link: "saturating", halfPoint: 0.5 }, null);
  const matrix = { tasks, values: toy.matrix.values.map((x) => 7 * x), order };
  const { numbers, scales } = fitNow(matrix);
  return { name: "x", tasks, epochs, numbers, scales, found: measured(matrix) };
}

test("a run at its fit agrees with itself, and numbers moved away do not", () => {
  const run = runOf(8, 4);
  const state = { ...DEFAULTS, tasks: 8, epochs: 4, order: "run", link: "saturating", ...run.numbers };
  const at = compute(state, run);
  assert.ok(at.agreement.r2 > 0.9999);
  const away = compute({ ...state, slowShare: state.slowShare / 3 }, run);
  assert.ok(away.agreement.r2 < at.agreement.r2 - 0.01);
  // Scales are the fit's: documents keep their size while a slider shows what its number does.
  assert.deepEqual([...away.beside.scales], [...run.scales]);
});

test("a run of other documents or another order is not compared entry by entry", () => {
  const run = runOf(8, 4, "reshuffled");
  assert.equal(compute({ ...DEFAULTS, tasks: 9 }, run).beside, null);
  const other = compute({ ...DEFAULTS, tasks: 8, epochs: 4, order: "cyclic" }, run);
  assert.equal(other.agreement, null);
  assert.notEqual(other.beside, null);
  const own = compute({ ...DEFAULTS, tasks: 8, epochs: 6, order: "run" }, run);
  assert.equal(own.toy.matrix.order.length, 48); // goes on as in its last epoch
  assert.notEqual(own.agreement, null);
});

test("a part of the documents changes losses and their reference, and no spectrum of a fixed order", () => {
  const all = compute(DEFAULTS, null);
  const part = compute({ ...DEFAULTS, sharing: "part" }, null);
  // What is set while nothing is partly shared moves nothing.
  assert.deepEqual(compute({ ...DEFAULTS, sharedFraction: 0.2 }, null).toy, all.toy);
  assert.ok(part.toy.scores[0].value < all.toy.scores[0].value - 0.05);
  assert.ok(Math.abs(part.reference.online[1] - all.reference.online[1]) > 0.01);
  assert.ok(Math.abs(part.reference.after[0] - all.reference.after[0]) > 0.01);
  assert.deepEqual(part.spectrum, all.spectrum);
  assert.deepEqual(part.approached, all.approached);
  // Before anything is forgotten a first visit meets what it would meet in any order.
  assert.ok(Math.abs(part.toy.online[0] - part.reference.online[0]) < 0.02);
});

test("what the circle shows belongs to the order", () => {
  const spectrum = (order, more = {}) => compute({ ...DEFAULTS, order, ...more }, null).spectrum;
  assert.ok(spectrum("cyclic").own && Math.abs(spectrum("cyclic").im[0]) > 0.05);
  assert.ok(spectrum("palindrome").im.every((y) => y === 0));
  assert.equal(spectrum("reshuffled").own, false);
  assert.ok(spectrum("reshuffled").factor < spectrum("cyclic").factor);
  assert.equal(spectrum("iid").factor, null);
  assert.equal(compute({ ...DEFAULTS, slowShare: 3.3 }, null).stable, false);
});

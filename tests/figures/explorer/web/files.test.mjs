// Files of the reader's own: what is read, and the one sentence that refuses the rest.

import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync } from "node:zlib";
import { FileProblem, readCsv, readMatrix } from "../../../../figures/explorer/web/files/matrix.js";
import { readNpy } from "../../../../figures/explorer/web/files/npy.js";
import { checksum, entriesOf } from "../../../../figures/explorer/web/files/zip.js";

/** An array as NumPy writes it. */
function npy(descr, shape, bytes, fortran = "False") {
  const words = `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const header = new TextEncoder().encode(`${words.padEnd(117)}\n`);
  const size = Uint8Array.of(header.length & 255, header.length >> 8);
  return Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, ...size, ...header, ...bytes);
}

const doubles = (values) => new Uint8Array(Float64Array.from(values).buffer);
const losses = (shape, values) => npy("<f8", shape, doubles(values));

/** An archive with entries stored or deflated. */
function zip(entries, packed = false) {
  const encoder = new TextEncoder();
  const parts = [];
  const central = [];
  let offset = 0;
  for (const [name, plain] of entries) {
    const data = packed ? new Uint8Array(deflateRawSync(plain)) : plain;
    const label = encoder.encode(name);
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(0, 20, true);
    common.setUint16(4, packed ? 8 : 0, true);
    common.setUint32(10, checksum(plain), true);
    common.setUint32(14, data.length, true);
    common.setUint32(18, plain.length, true);
    common.setUint16(22, label.length, true);
    const shared = new Uint8Array(common.buffer);
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), shared, label, data);
    const place = new DataView(new ArrayBuffer(14));
    place.setUint32(10, offset, true);
    central.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), shared, new Uint8Array(place.buffer), label);
    offset += 30 + label.length + data.length;
  }
  const directory = central.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, entries.length, true);
  end.setUint16(10, entries.length, true);
  end.setUint32(12, directory, true);
  end.setUint32(16, offset, true);
  return Uint8Array.from([...parts, ...central, new Uint8Array(end.buffer)].flatMap((part) => [...part]));
}

const refused = (name, bytes, words) =>
  assert.rejects(
    readMatrix(name, bytes),
    (error) => error instanceof FileProblem && words.test(error.message),
  );

const GOOD = [1, 2, 0.1, 2, 0.9, 0.2, 0.05, 1, 0.5, 0.1];

test("an .npy of any common kind of number is read", async () => {
  const found = await readMatrix("a.npy", losses([5, 2], GOOD));
  assert.deepEqual([found.tasks, found.epochs], [2, 2]);
  assert.deepEqual([...found.values], GOOD);
  assert.deepEqual([...found.order], [0, 1, 0, 1]);
  const single = new Uint8Array(Float32Array.from(GOOD).buffer);
  assert.equal((await readMatrix("a.npy", npy("<f4", [5, 2], single))).values[2], Math.fround(0.1));
  const big = new DataView(new ArrayBuffer(80));
  for (const [n, value] of GOOD.entries()) big.setFloat64(8 * n, value, false);
  const turned = await readMatrix("a.npy", npy(">f8", [5, 2], new Uint8Array(big.buffer)));
  assert.deepEqual([...turned.values], GOOD);
  const columns = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9].map((n) => GOOD[n]);
  const fortran = await readMatrix("a.npy", npy("<f8", [5, 2], doubles(columns), "True"));
  assert.deepEqual([...fortran.values], GOOD);
  assert.equal(readNpy(npy("|i1", [2], Uint8Array.of(255, 3))).values[0], -1);
});

test("archives are read, stored or deflated, with their order", async () => {
  const order = npy("<i2", [2, 2], new Uint8Array(Int16Array.of(1, 0, 0, 1).buffer));
  for (const packed of [false, true]) {
    const bytes = zip(
      [
        ["losses.npy", losses([5, 2], GOOD)],
        ["order.npy", order],
      ],
      packed,
    );
    const found = await readMatrix("LOSSES.NPZ", bytes);
    assert.deepEqual([...found.order], [1, 0, 0, 1]);
    assert.deepEqual([...found.values], GOOD);
  }
  const authors = await readMatrix("r_results.npz", zip([["eval_losses_ckpt.npy", losses([5, 2], GOOD)]]));
  assert.equal(authors.epochs, 2);
});

test("damage anywhere in an archive is found", async () => {
  for (const packed of [false, true]) {
    const good = zip([["losses.npy", losses([5, 2], GOOD)]], packed);
    for (let n = 40; n < good.length; n += 3) {
      const bad = good.slice();
      bad[n] ^= 0xff;
      try {
        const found = await readMatrix("a.npz", bad);
        // Bytes that say nothing of the losses (times, versions) may change.
        assert.deepEqual([...found.values], GOOD, `byte ${n}`);
      } catch (error) {
        assert.ok(error instanceof FileProblem, `byte ${n}: ${error}`);
      }
    }
    await refused("a.npz", good.subarray(0, good.length - 30), /no end|damaged/);
  }
  assert.equal(entriesOf(zip([["a", Uint8Array.of(1)]])).size, 1);
});

test("numbers in words and comments of csv", () => {
  assert.deepEqual([...readCsv("a,b\n1,2\n0.5,2e-1\n").values], [1, 2, 0.5, 0.2]);
  assert.deepEqual([...readCsv("\uFEFF1;2\r\n3;4\r\n").values], [1, 2, 3, 4]);
  assert.deepEqual([...readCsv(',a,b\n0,1,2\n1,"3",4\n').values], [1, 2, 3, 4]);
  assert.ok(Number.isNaN(readCsv("1,\n2,NA\n").values[1]));
  assert.throws(() => readCsv("1,2\n3\n"), /line 2 has 1 cells and the first row 2/);
  assert.throws(() => readCsv("1,2\n3,<b>x</b>\n"), /no number/);
  assert.throws(() => readCsv("\n"), /empty/);
});

test("what cannot be losses is refused in one sentence", async () => {
  await refused("a.txt", losses([5, 2], GOOD), /kind is not known/);
  await refused("a.npy", Uint8Array.of(1, 2, 3), /NumPy/);
  await refused("a.npy", losses([5, 2], GOOD).subarray(0, 150), /cut short: /);
  await refused("a.npy", losses([2, 5], GOOD), /transpose/);
  await refused("a.npy", losses([10], GOOD), /1 dimension/);
  await refused("a.npy", losses([4, 2], GOOD.slice(0, 8)), /whole epochs only/);
  await refused(
    "a.npy",
    losses([5, 2], [...GOOD.slice(0, 9), Number.NaN]),
    /row 4, column 1 is NaN \(1 such\)/,
  );
  await refused("a.csv", new TextEncoder().encode("1,2\nnan,3\n1,2\n"), /row 1, column 0 is NaN/);
  await refused("a.npy", npy("|O", [5, 2], doubles(GOOD)), /pickled/);
  await refused("a.npy", npy("<c16", [5, 2], doubles(GOOD)), /type <c16/);
  await refused("a.npz", zip([["meta.npy", losses([1], [1])]]), /neither losses/);
  const order = npy("<i8", [2, 2], new Uint8Array(BigInt64Array.of(0n, 1n, 0n, 2n).buffer));
  const bytes = zip([
    ["losses.npy", losses([5, 2], GOOD)],
    ["order.npy", order],
  ]);
  await refused("a.npz", bytes, /order of shape \(2, 2\)/);
});

test("accuracies and log-likelihoods are no losses", async () => {
  const [tasks, epochs] = [5, 4];
  const rows = 1 + tasks * epochs;
  // A document's loss falls when it is trained and grows by a little afterwards.
  const values = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: tasks }, (_, task) => {
      const since = (((row - 1 - task) % tasks) + tasks) % tasks;
      return row <= task ? 3 : 1 + 0.2 * since;
    }),
  ).flat();
  const kept = await readMatrix("a.npy", losses([rows, tasks], values));
  assert.equal(kept.tasks, tasks);
  await refused(
    "a.npy",
    losses(
      [rows, tasks],
      values.map((v) => Math.exp(-v)),
    ),
    /rise most for the document/,
  );
  await refused(
    "a.npy",
    losses(
      [rows, tasks],
      values.map((v) => -v),
    ),
    /are not below 0: of log-likelihoods/,
  );
});

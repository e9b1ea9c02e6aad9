// The few parts of the zip format that NumPy's .npz uses: stored and deflated entries, zip64 sizes.

import { FileProblem } from "#files/npy.js";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const damaged = (what) => new FileProblem(`it is damaged (${what}); copy it again`);

/**
 * The entries of an archive, by name.
 *
 * @param {Uint8Array} bytes
 * @returns {Map<string, () => Promise<Uint8Array>>} each unpacked and checked when called
 */
export function entriesOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && end > bytes.length - 65558 && view.getUint32(end, true) !== END) end--;
  if (end < 0 || view.getUint32(end, true) !== END) throw damaged("the archive has no end");
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const entries = new Map();
  for (let n = 0; n < count; n++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== ENTRY) throw damaged("its list of contents");
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const entry = {
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    readZip64(view, at + 46 + nameLength, extraLength, entry);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    entries.set(name, () => unpack(bytes, view, name, entry));
    at += 46 + nameLength + extraLength + view.getUint16(at + 32, true);
  }
  return entries;
}

function readZip64(view, begin, length, entry) {
  for (let at = begin; at + 4 <= begin + length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    let field = at + 4;
    for (const name of ["size", "packed", "offset"]) {
      if (entry[name] !== 0xffffffff) continue;
      entry[name] = Number(view.getBigUint64(field, true));
      field += 8;
    }
  }
}

async function unpack(bytes, view, name, { method, crc, packed, size, offset }) {
  if (offset + 30 > bytes.length) throw damaged(name);
  const begin = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  const data = bytes.subarray(begin, begin + packed);
  if (data.length < packed) throw damaged(`${name} is cut short`);
  let plain = data;
  if (method === 8) plain = await inflate(data, crc, size, name);
  else if (method !== 0)
    throw new FileProblem(`${name} is packed in a way that NumPy never uses (${method})`);
  if (plain.length !== size || checksum(plain) !== crc) throw damaged(`the checksum of ${name} is wrong`);
  return plain;
}

/** Deflated bytes, by the browser's own gzip: a header before and checksum and size behind make one. */
async function inflate(data, crc, size, name) {
  const tail = new DataView(new ArrayBuffer(8));
  tail.setUint32(0, crc, true);
  tail.setUint32(4, size >>> 0, true);
  const header = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  const stream = new Blob([header, data, tail.buffer]).stream();
  try {
    const whole = await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
    return new Uint8Array(whole);
  } catch {
    throw damaged(`${name} cannot be unpacked`);
  }
}

const TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 as zip counts it. */
export function checksum(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

// NumPy's .npy format, without pickled objects.

/** What is wrong with a file, in one sentence for the reader. */
export class FileProblem extends Error {}

const READERS = {
  f8: [8, "getFloat64"],
  f4: [4, "getFloat32"],
  i8: [8, "getBigInt64"],
  u8: [8, "getBigUint64"],
  i4: [4, "getInt32"],
  u4: [4, "getUint32"],
  i2: [2, "getInt16"],
  u2: [2, "getUint16"],
  i1: [1, "getInt8"],
  u1: [1, "getUint8"],
};

/**
 * Read an array of numbers.
 *
 * @param {Uint8Array} bytes
 * @returns {{shape: number[], values: Float64Array, whole: boolean}} row by row; whole: of integers
 */
export function readNpy(bytes) {
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (bytes.length < 12 || magic.some((byte, n) => bytes[n] !== byte)) {
    throw new FileProblem(
      "it does not begin as a NumPy file does; save the losses with numpy.save or as .csv",
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] >= 2;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const begin = (long ? 12 : 10) + length;
  if (begin > bytes.length) throw new FileProblem("it is cut short inside its header; copy it again");
  const header = new TextDecoder("latin1").decode(bytes.subarray(long ? 12 : 10, begin));
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const fortran = /'fortran_order':\s*True/.test(header);
  const dimensions = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (descr === undefined || dimensions === undefined) {
    throw new FileProblem("its header names no plain array of numbers; save one array of losses");
  }
  const reader = READERS[descr.slice(1)];
  if (descr.includes("O")) {
    throw new FileProblem("it holds pickled objects, which are never opened; save a plain array of float64");
  }
  if (!reader) throw new FileProblem(`its numbers are of type ${descr}; save them as float64`);
  const shape = dimensions
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean)
    .map(Number);
  const count = shape.reduce((product, n) => product * n, 1);
  const [size, method] = reader;
  if (bytes.length - begin < count * size) {
    throw new FileProblem(
      `it is cut short: ${bytes.length - begin} bytes of ${count * size} that its header promises; copy it again`,
    );
  }
  const little = descr[0] !== ">";
  const values = new Float64Array(count);
  for (let n = 0; n < count; n++) values[n] = Number(view[method](begin + n * size, little));
  return { shape, values: fortran ? rowByRow(values, shape) : values, whole: /[iu]/.test(descr[1]) };
}

function rowByRow(values, shape) {
  if (shape.length !== 2) return values;
  const [rows, columns] = shape;
  const result = new Float64Array(values.length);
  for (let n = 0; n < values.length; n++) result[(n % rows) * columns + Math.floor(n / rows)] = values[n];
  return result;
}

// A loss matrix from a file of the reader's own: read, judged, and refused in one clear sentence.

import { FileProblem, readNpy } from "#files/npy.js";
import { entriesOf } from "#files/zip.js";

export { FileProblem };

const MOST = 4_000_000;

/**
 * Read losses from a file.
 *
 * @param {string} name with its ending
 * @param {Uint8Array} bytes
 * @returns {Promise<{tasks: number, epochs: number, values: Float64Array, order: Int32Array}>}
 * @throws {FileProblem} whose message completes the sentence "NAME: ..."
 */
export async function readMatrix(name, bytes) {
  const ending = /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase();
  if (ending === "npz") return readNpz(bytes);
  if (ending === "npy") return judged(readNpy(bytes));
  if (ending === "csv") return judged(readCsv(new TextDecoder().decode(bytes)));
  throw new FileProblem("its kind is not known here; drop a run's losses.npz, a .npy or a .csv");
}

async function readNpz(bytes) {
  const entries = entriesOf(bytes);
  const key = ["losses.npy", "eval_losses_ckpt.npy"].find((one) => entries.has(one));
  if (!key) {
    const names = [...entries.keys()].map((one) => one.replace(/\.npy$/, "")).slice(0, 8);
    throw new FileProblem(
      `it has ${names.join(", ") || "nothing"} in it but neither losses nor eval_losses_ckpt; drop a run's losses.npz`,
    );
  }
  const losses = readNpy(await entries.get(key)());
  const order = entries.has("order.npy") ? readNpy(await entries.get("order.npy")()) : null;
  return judged(losses, order);
}

const MISSING = new Set(["", "na", "nan", "null", "none"]);

/** A cell's number: NaN for a missing one, null for words. */
function numberIn(cell) {
  if (MISSING.has(cell.toLowerCase())) return Number.NaN;
  if (/^[-+]?inf(inity)?$/i.test(cell)) return cell.startsWith("-") ? -Infinity : Infinity;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(cell) ? Number(cell) : null;
}

/**
 * Numbers between commas, semicolons or tabs; a line of names above them or not.
 *
 * A first column that counts the rows under a name of its own (as pandas writes its index) is left out, and so
 * is a first line that counts the columns: what toymodel's reader of tables does. Any other column that counts,
 * and commas within numbers, are refused.
 */
export function readCsv(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  const count = (one) => lines[0].split(one).length;
  const separator = [",", ";", "\t"].reduce((best, one) => (count(one) > count(best) ? one : best));
  const table = lines
    .map((line, n) => ({ line: n + 1, cells: line.split(separator).map((cell) => unquoted(cell.trim())) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const named =
    table.length > 0 &&
    (countsColumns(table[0].cells) || table[0].cells.some((cell) => numberIn(cell) === null));
  const head = named ? table.shift().cells : [];
  if (table.length === 0) throw new FileProblem("it is empty; one row per evaluation is expected");
  if (separator === "," && table.some(({ cells }) => cells.some((cell) => /^0[0-9]+$/.test(cell)))) {
    throw new FileProblem("it has commas within numbers and between them; a decimal point is expected");
  }
  const width = table[0].cells.length;
  const rows = table.map(({ line, cells }) => {
    if (cells.length !== width) {
      throw new FileProblem(`line ${line} has ${cells.length} cells and the first row ${width}`);
    }
    return cells.map((cell, n) => {
      const value = numberIn(cell);
      if (value !== null) return value;
      const shown = JSON.stringify(cell.slice(0, 40));
      throw new FileProblem(`line ${line}, column ${n + 1} holds ${shown}, which is no number`);
    });
  });
  const counts = ["", "row", "episode", "index"].includes(head[0]) && rows.every((row, n) => row[0] === n);
  if (!counts) refuseCounting(rows);
  const kept = counts ? rows.map((row) => row.slice(1)) : rows;
  return { shape: [kept.length, kept[0].length], values: Float64Array.from(kept.flat()) };
}

/** Whether a line is 0,1,2,..., with an empty corner before it or without. */
function countsColumns(cells) {
  const names = cells[0] === "" ? cells.slice(1) : cells;
  return names.length > 1 && names.every((name, n) => name === String(n));
}

/** A column of rows, steps or epochs would pass for the losses of a document wherever the shape allows it. */
function refuseCounting(rows) {
  for (let column = 0; rows.length > 2 && column < rows[0].length; column++) {
    const found = rows.map((row) => row[column]);
    const rises = found.slice(1).map((value, n) => value - found[n]);
    const steps = rises.every((rise) => rise === 0 || rise === 1) && rises.includes(1);
    if (steps && (found[0] === 0 || found[0] === 1)) {
      throw new FileProblem(
        `column ${column + 1} counts from ${found[0]} to ${found.at(-1)}: leave out what is no loss`,
      );
    }
  }
}

const unquoted = (cell) => (/^".*"$/.test(cell) ? cell.slice(1, -1).trim() : cell);

/** Judge shape, losses and order. */
function judged({ shape, values }, order = null) {
  if (shape.length !== 2) {
    throw new FileProblem(
      `its losses have ${shape.length} dimension(s), not 2: one row per evaluation, one column per document`,
    );
  }
  const [rows, tasks] = shape;
  const fits = (r, c) => c >= 2 && r >= 1 + c && (r - 1) % c === 0;
  if (!fits(rows, tasks)) {
    const turned = fits(tasks, rows)
      ? "it is the other way round: transpose it"
      : "the row before training and whole epochs only are expected";
    throw new FileProblem(
      `its ${rows} rows and ${tasks} columns are not 1 + epochs x documents rows by documents columns; ${turned}`,
    );
  }
  if (values.length > MOST)
    throw new FileProblem(`its ${values.length} losses are more than this page shows (${MOST})`);
  let bad = 0;
  let first = -1;
  for (let n = 0; n < values.length; n++) {
    if (Number.isFinite(values[n])) continue;
    if (first < 0) first = n;
    bad += 1;
  }
  if (bad > 0) {
    const place = `row ${Math.floor(first / tasks)}, column ${first % tasks}`;
    throw new FileProblem(
      `the loss in ${place} is ${values[first]} (${bad} such): the run diverged or the file is damaged`,
    );
  }
  const epochs = (rows - 1) / tasks;
  const schedule = new Int32Array(epochs * tasks);
  for (let t = 0; t < schedule.length; t++) schedule[t] = t % tasks;
  if (order) {
    const whole =
      order.whole && order.shape.length === 2 && order.shape[0] === epochs && order.shape[1] === tasks;
    if (!whole || order.values.some((task) => task < 0 || task >= tasks)) {
      throw new FileProblem(
        `its order of shape (${order.shape.join(", ")}) is not the document of each of ${epochs} x ${tasks} episodes, counted from 0`,
      );
    }
    schedule.set(order.values);
  }
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  if (mean < 0) {
    throw new FileProblem(
      `the mean of its losses is ${mean.toPrecision(3)}, and losses are not below 0: of log-likelihoods, minus the values are losses`,
    );
  }
  if (trainedPlace(values, tasks, schedule) > RISES) {
    throw new FileProblem(
      "its values rise most for the document that was just trained, and losses fall: of accuracies, 1 - values; of losses, is the first row that before training?",
    );
  }
  return { tasks, epochs, values, order: schedule };
}

/** Of networks' losses it is below .13; a fit (bridge.estimate.checks) refuses from here on, too. */
const RISES = 0.85;

/**
 * Where the document that was just trained stands among all by the change of its loss, mean over episodes.
 *
 * 0 where its loss always falls most, 1 where it rises most; 0.5 of so few episodes that chance decides.
 */
function trainedPlace(values, tasks, schedule) {
  if (schedule.length < (12 * (tasks + 1)) / (tasks - 1)) return 0.5;
  let places = 0;
  schedule.forEach((trained, episode) => {
    // Half of each, as the difference of two losses near the largest number is none.
    const change = (task) => values[(episode + 1) * tasks + task] / 2 - values[episode * tasks + task] / 2;
    const own = change(trained);
    let below = -0.5; // it is as its own
    for (let task = 0; task < tasks; task++) {
      if (change(task) < own) below += 1;
      else if (change(task) === own) below += 0.5;
    }
    places += below / (tasks - 1);
  });
  return places / schedule.length;
}

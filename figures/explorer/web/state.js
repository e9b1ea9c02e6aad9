// What the page shows, as plain values: ranges, defaults, and the form they have behind the # of a link.

import { ORDERS } from "#toy/orders.js";

/** Scales of sliders: from a place in [0, 1] to a value and back. */
const linear = (low, high) => ({
  value: (place) => low + place * (high - low),
  place: (value) => (value - low) / (high - low),
});
const logarithmic = (low, high) => ({
  value: (place) => low * (high / low) ** place,
  place: (value) => Math.log(value / low) / Math.log(high / low),
});
/** Fine up to `bend`, which lies at four fifths of the way, and coarse beyond. */
const bent = (bend, high) => ({
  value: (place) => (place <= 0.8 ? (place / 0.8) * bend : bend + ((place - 0.8) / 0.2) * (high - bend)),
  place: (value) => (value <= bend ? (0.8 * value) / bend : 0.8 + (0.2 * (value - bend)) / (high - bend)),
});

/** The numbers of the toy, in the order in which they are shown. */
export const NUMBERS = {
  tasks: {
    key: "T",
    label: "Documents",
    symbol: "T",
    low: 2,
    high: 200,
    whole: true,
    start: 25,
    scale: logarithmic(2, 200),
    help: "trained one after the other; each visit is an episode",
  },
  epochs: {
    key: "E",
    label: "Epochs",
    symbol: "E",
    low: 1,
    high: 20,
    whole: true,
    start: 7,
    scale: linear(1, 20),
    help: "T episodes each",
  },
  slowShare: {
    key: "s",
    label: "Slow share",
    symbol: "s",
    low: 0,
    high: 4,
    start: 1 / 3,
    scale: bent(1.25, 4),
    help: "part of what an episode fits that the slow weights do, A/(A+B)",
  },
  unfitted: {
    key: "u",
    label: "Left unfitted",
    symbol: "u",
    low: 0,
    high: 0.999,
    start: 0,
    scale: linear(0, 0.999),
    help: "part of a document’s residual that an episode leaves, 1−A−B",
  },
  similarity: {
    key: "h",
    label: "Similarity",
    symbol: "ρ",
    low: 0,
    high: 0.95,
    start: 0,
    scale: linear(0, 0.95),
    help: "of every document to every other",
  },
  varianceW: {
    key: "v",
    label: "Variance of w",
    symbol: "v",
    low: 0.001,
    high: 1100,
    start: 1 / 3,
    scale: logarithmic(0.001, 1100),
    help: "of the fast weights before training, over that of the solutions",
  },
  slowDrift: {
    key: "ds",
    label: "Drift of the slow share",
    symbol: "δs",
    low: -1.5,
    high: 1.5,
    start: 0,
    scale: linear(-1.5, 1.5),
    help: "change of its logit per epoch; plain descent has about −0.8",
  },
  unfittedDrift: {
    key: "du",
    label: "Drift of what is left",
    symbol: "δu",
    low: -1.5,
    high: 1.5,
    start: 0,
    scale: linear(-1.5, 1.5),
    help: "change of its logit per epoch",
  },
  sharedFraction: {
    key: "p",
    label: "Part of the documents",
    symbol: "p",
    low: 0.047,
    high: 0.994,
    start: 0.5,
    scale: linear(0.047, 0.994),
    help: "that trains a direction, on average; at 0.5 every part counts alike",
  },
  halfPoint: {
    key: "z",
    label: "Half point",
    symbol: "z",
    low: 0.0067,
    high: 150,
    start: 1,
    scale: logarithmic(0.0067, 150),
    help: "squared distance, relative to the start, at half the largest loss",
  },
};

export const LINKS = {
  linear: "linear",
  saturating: "saturating, x / (x + z)",
};

/** By which documents directions of w are trained. */
export const SHARINGS = {
  all: "all documents",
  part: "a part of them",
};

export const DEFAULTS = {
  ...Object.fromEntries(Object.entries(NUMBERS).map(([name, { start }]) => [name, start])),
  order: "cyclic",
  link: "linear",
  sharing: "all",
  seed: 1,
  document: 1,
  run: "",
};

/** What a link can say: `#T=25&s=0.333`; what is as at first is left out. */
export function toHash(state) {
  const parts = new URLSearchParams();
  for (const [name, { key }] of Object.entries(NUMBERS)) {
    if (state[name] !== DEFAULTS[name]) parts.set(key, String(Number(state[name].toPrecision(6))));
  }
  for (const name of ["order", "link", "sharing", "seed", "document", "run"]) {
    if (state[name] !== DEFAULTS[name]) parts.set(name, String(state[name]));
  }
  return parts.size > 0 ? `#${parts}` : "#";
}

/**
 * The state of a link; whatever it says that cannot be is left as at first.
 *
 * @param {string} hash as the browser has it, with or without #
 * @param {(id: string) => boolean} known whether there is a run of that name
 */
export function fromHash(hash, known = () => false) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...DEFAULTS };
  for (const [name, { key }] of Object.entries(NUMBERS)) {
    if (parts.has(key)) state[name] = within(name, Number(parts.get(key)), state[name]);
  }
  if (parts.has("order")) state.order = parts.get("order");
  if (Object.hasOwn(LINKS, parts.get("link"))) state.link = parts.get("link");
  if (Object.hasOwn(SHARINGS, parts.get("sharing"))) state.sharing = parts.get("sharing");
  for (const name of ["seed", "document"]) {
    const value = Number(parts.get(name));
    if (Number.isInteger(value) && value >= 1 && value <= 1e6) state[name] = value;
  }
  if (parts.has("run") && known(parts.get("run"))) state.run = parts.get("run");
  const orders = state.run ? ["run", ...Object.keys(ORDERS)] : Object.keys(ORDERS);
  if (!orders.includes(state.order)) state.order = state.run ? "run" : DEFAULTS.order;
  state.document = Math.min(state.document, state.tasks);
  return state;
}

/** A number made to fit its range; `otherwise` where it is none. */
export function within(name, value, otherwise) {
  const { low, high, whole } = NUMBERS[name];
  if (!Number.isFinite(value)) return otherwise;
  const inside = Math.min(high, Math.max(low, value));
  return whole ? Math.round(inside) : inside;
}

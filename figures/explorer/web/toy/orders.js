// Which task every episode trains, epoch after epoch of T episodes, tasks numbered from 0.

/** Numbers in [0, 1) from a seed: the same on every machine (mulberry32). */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Normal deviates from a generator (Box and Muller). */
export function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Fisher's and Yates's shuffle of `row[first..last]`, in place. */
export function shuffle(row, first, last, random) {
  for (let n = last; n > first; n--) {
    const other = first + Math.floor(random() * (n - first + 1));
    [row[n], row[other]] = [row[other], row[n]];
  }
}

const FILL = {
  cyclic: () => {},
  reshuffled: (row, _, random) => shuffle(row, 0, row.length - 1, random),
  palindrome: (row, epoch) => {
    if (epoch % 2) row.reverse();
  },
  iid: (row, _, random) => {
    for (let n = 0; n < row.length; n++) row[n] = Math.floor(random() * row.length);
  },
  middle: (row, _, random) => shuffle(row, 1, row.length - 2, random),
};

export const ORDERS = {
  cyclic: "cyclic",
  reshuffled: "reshuffled every epoch",
  palindrome: "palindrome",
  iid: "IID draws",
  middle: "shuffled middle",
};

/**
 * The schedule, flat: `order[e * T + k]` is trained in episode k of epoch e.
 *
 * A longer run begins with the shorter run's epochs.
 */
export function makeOrder(kind, tasks, epochs, seed = 0) {
  const random = generator(seed);
  const order = new Int32Array(epochs * tasks);
  for (let e = 0; e < epochs; e++) {
    const row = order.subarray(e * tasks, (e + 1) * tasks);
    for (let k = 0; k < tasks; k++) row[k] = k;
    FILL[kind](row, e, random);
  }
  return order;
}

/** Whether every epoch has the same order. */
export function repeats(order, tasks) {
  for (let n = tasks; n < order.length; n++) if (order[n] !== order[n - tasks]) return false;
  return true;
}

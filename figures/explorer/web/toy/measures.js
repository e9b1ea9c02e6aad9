// Measures on a loss matrix: what toymodel/measures defines, for any order.
//
// A matrix is { tasks, values, order }: values row after row of T losses, row 0 before training, row
// t + 1 right after the task order[t] was trained.

const EPSILON = 2 ** -52;

/** Rows of the matrix right before each visit of every task. */
export function visitsOf({ tasks, order }) {
  const visits = Array.from({ length: tasks }, () => []);
  for (let t = 0; t < order.length; t++) visits[order[t]].push(t);
  return visits;
}

/**
 * Recovery score of every interval between visits (paper eq. 1): a ratio of means over tasks.
 *
 * @returns {{value: number, reason: string}[]} NaN with a reason where it has no meaning
 */
export function recoveryScores(matrix) {
  const { tasks, values } = matrix;
  const visits = visitsOf(matrix);
  const most = Math.max(...visits.map((rows) => rows.length));
  let start = -Infinity;
  for (let j = 0; j < tasks; j++) start = Math.max(start, values[j]);
  const scores = [];
  for (let n = 1; n < most; n++) {
    let [after, peak, before, count] = [0, 0, 0, 0];
    for (let j = 0; j < tasks; j++) {
      if (visits[j].length <= n) continue;
      const [first, last] = [visits[j][n - 1] + 1, visits[j][n]];
      let highest = -Infinity;
      for (let row = first; row <= last; row++) highest = Math.max(highest, values[row * tasks + j]);
      after += values[first * tasks + j];
      before += values[last * tasks + j];
      peak += highest;
      count += 1;
    }
    scores.push(scoreOf(after / count, peak / count, before / count, start));
  }
  return scores;
}

/** Paper eq. 1 from its three losses; `start` is the size of the losses whose rounding they carry. */
export function scoreOf(after, peak, before, start = 0) {
  const none = (reason) => ({ value: Number.NaN, reason });
  if (!Number.isFinite(peak - after)) return none("the losses have grown beyond all numbers");
  if (peak <= 64 * EPSILON * start) return none("the losses have sunk to rounding");
  if (peak - after <= 8 * EPSILON * Math.max(Math.abs(peak), Math.abs(after))) {
    return none("nothing was forgotten: the loss only falls");
  }
  if (before < after) return none("the loss before the return is below the one after training");
  return { value: (peak - before) / (peak - after), reason: "" };
}

/**
 * Mean loss by visits so far and lag, one line a visit: lag 0 is right after training.
 *
 * @returns {Float64Array[]} for the n-th visit T values, NaN where no task was seen at that lag
 */
export function curvesByLag(matrix) {
  const { tasks, values, order } = matrix;
  const visits = visitsOf(matrix);
  const most = Math.max(...visits.map((rows) => rows.length));
  const curves = [];
  for (let n = 0; n < most; n++) {
    const sum = new Float64Array(tasks);
    const count = new Float64Array(tasks);
    for (let j = 0; j < tasks; j++) {
      if (visits[j].length <= n) continue;
      const first = visits[j][n] + 1;
      const last = n + 1 < visits[j].length ? visits[j][n + 1] : order.length;
      for (let row = first; row <= last && row - first < tasks; row++) {
        sum[row - first] += values[row * tasks + j];
        count[row - first] += 1;
      }
    }
    curves.push(sum.map((total, lag) => (count[lag] ? total / count[lag] : Number.NaN)));
  }
  return curves;
}

/** Mean over each epoch of the loss of the task about to be trained. */
export function onlineLosses({ tasks, values, order }) {
  const online = new Float64Array(order.length / tasks);
  for (let t = 0; t < order.length; t++) {
    online[Math.floor(t / tasks)] += values[t * tasks + order[t]] / tasks;
  }
  return online;
}

/** Mean loss of all tasks after each epoch. */
export function lossesAfterEpochs({ tasks, values, order }) {
  const epochs = order.length / tasks;
  return Float64Array.from({ length: epochs }, (_, e) => {
    let sum = 0;
    const row = (1 + e) * tasks * tasks;
    for (let j = 0; j < tasks; j++) sum += values[row + j] / tasks;
    return sum;
  });
}

/** 1 - SSE/SST over all entries, SST about the mean. */
export function rSquared(values, predicted) {
  let mean = 0;
  for (const value of values) mean += value / values.length;
  let [error, total] = [0, 0];
  for (let n = 0; n < values.length; n++) {
    error += (values[n] - predicted[n]) ** 2;
    total += (values[n] - mean) ** 2;
  }
  return 1 - error / total;
}

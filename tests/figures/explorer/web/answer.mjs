// Answers questions of the Python tests, one JSON a line: { ask, ...what it needs }.

import { createInterface } from "node:readline";
import { readCsv } from "../../../../figures/explorer/web/files/matrix.js";
import { fitNow, shapesOf } from "../../../../figures/explorer/web/toy/fit.js";
import {
  curvesByLag,
  lossesAfterEpochs,
  onlineLosses,
  recoveryScores,
} from "../../../../figures/explorer/web/toy/measures.js";
import { palindromeEigenvalues } from "../../../../figures/explorer/web/toy/palindrome.js";
import {
  approachedRecovery,
  epochEigenvalues,
  isStable,
  slowShareLimit,
  turnsPerEpoch,
} from "../../../../figures/explorer/web/toy/ring.js";
import { advance } from "../../../../figures/explorer/web/toy/ringpath.js";
import { partsOf, ringsOf, sharedReshuffled } from "../../../../figures/explorer/web/toy/sharing.js";

const answers = {
  csv({ text }) {
    try {
      const { shape, values } = readCsv(text);
      return { shape, values: Array.from(values, (x) => (Number.isFinite(x) ? x : String(x))) };
    } catch (error) {
      return { refused: error.message };
    }
  },
  losses: ({ tasks, order, ...numbers }) => [...shapesOf(numbers, tasks, order)],
  directions({ tasks, sharedFraction }) {
    const parts = partsOf(tasks, sharedFraction);
    return ringsOf(tasks).rings.map(({ size, members, shares }) => ({
      members: [...members],
      parts: Array.from(shares, (share) => parts[size] * share),
    }));
  },
  measures({ tasks, values, order }) {
    const matrix = { tasks, values: Float64Array.from(values), order };
    return {
      scores: recoveryScores(matrix).map(({ value }) => (Number.isNaN(value) ? null : value)),
      online: [...onlineLosses(matrix)],
      after: [...lossesAfterEpochs(matrix)],
      curves: curvesByLag(matrix).map((c) => Array.from(c, (x) => (Number.isNaN(x) ? null : x))),
    };
  },
  ring({ slow, fast, tasks }) {
    const { re, im } = epochEigenvalues(slow, fast, tasks);
    return {
      re: [...re],
      im: [...im],
      stable: isStable(slow, fast, tasks),
      approached: approachedRecovery(slow, fast, tasks).value,
      turns: turnsPerEpoch(slow, fast, tasks),
    };
  },
  limit: ({ tasks, similarity }) => slowShareLimit({ tasks, similarity }),
  palindrome: ({ slow, fast, tasks }) => [...palindromeEigenvalues(slow, fast, tasks)],
  reshuffled({ slow, fast, ...setting }) {
    const { online, after } = sharedReshuffled({ ...setting, slow: [slow], fast: [fast] });
    return { online: [...online], after: [...after] };
  },
  fit({ tasks, values, order }) {
    const { numbers, r2, scales } = fitNow({ tasks, values: Float64Array.from(values), order });
    return { numbers, r2, scales: [...scales] };
  },
  path({ q, w, slow, fast, order }) {
    const state = { q: Float64Array.from(q), w: Float64Array.from(w) };
    for (const i of order) advance(state, i, slow, fast);
    return { q: [...state.q], w: [...state.w] };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...given } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(answers[ask](given))}\n`);
}

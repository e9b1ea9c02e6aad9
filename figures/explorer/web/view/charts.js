// The line charts, drawn by uPlot (MIT, vendored): one object a chart, rebuilt only where its lines change.

import { inOrder, isDark, themed } from "#view/colours.js";
import { Place, short } from "#view/dom.js";

const uPlot = globalThis.uPlot;
const FONT = "12px system-ui, sans-serif";
const SPLITS = 6;

/** A chart in a figure's `.plot`; `show` takes columns and what describes the lines. */
class Chart {
  constructor(id, { y = "loss", log = false, height = 220 }) {
    this.place = new Place(id);
    this.options = { y, log, height };
    this.key = "";
  }

  /**
   * @param {Array<ArrayLike<number | null>>} columns x first
   * @param {object[]} series of uPlot, without x
   * @param {{splits?: number[], labels?: string[], x: string}} axis
   */
  show(columns, series, axis) {
    const key = `${series.map((s) => s.label).join("|")}|${axis.x}`;
    this.axis = axis;
    if (this.key === key) {
      this.plot.setData(columns);
      return;
    }
    this.key = key;
    this.plot?.destroy();
    this.plot = new uPlot(this.optionsOf(series), columns, this.place.node);
  }

  optionsOf(series) {
    const grid = { stroke: () => themed("grid"), width: 1 };
    const axis = { stroke: () => themed("soft-ink"), font: FONT, labelFont: FONT, grid, ticks: grid };
    const positive = (low, high) => [Math.max(1e-12, low / 1.3), Math.max(1e-11, high * 1.3)];
    return {
      width: this.place.width,
      height: this.options.height,
      legend: { show: false },
      cursor: { points: { size: 7 }, drag: { x: false, y: false }, y: false },
      scales: {
        x: { time: false, range: (_, low, high) => (low === high ? [low - 0.5, high + 0.5] : [low, high]) },
        y: this.options.log
          ? { distr: 3, range: (_, low, high) => positive(low, high) }
          : { range: (_, low, high) => this.options.range ?? [Math.min(0, low), high > 0 ? 1.06 * high : 1] },
      },
      axes: [
        {
          ...axis,
          size: 40,
          label: this.axis.x,
          labelSize: 18,
          labelGap: 0,
          splits: () => this.axis.splits,
          values: (_, splits) => splits.map((x) => this.axis.name(x)),
        },
        {
          ...axis,
          size: (_, values) => 34 + 7 * Math.max(2, ...(values ?? []).map((text) => text?.length ?? 0)),
          label: this.options.y,
          labelSize: 18,
          labelGap: 0,
          space: 34,
          ...(this.options.log
            ? { splits: (_, __, low, high) => decades(low, high), filter: (_, all) => all }
            : {}),
          values: (_, splits) => splits.map((y) => (y === null ? "" : short(y, 2))),
        },
      ],
      series: [{}, ...series],
    };
  }

  resize() {
    this.place.measure();
    this.plot?.setSize({ width: this.place.width, height: this.options.height });
  }

  redraw() {
    this.plot?.redraw(false, true);
  }
}

const line = (label, colour, more = {}) => ({
  label,
  stroke: () => themed(colour),
  width: 1.8,
  points: { show: false },
  ...more,
});
const marks = (label, colour, more = {}) => ({
  label,
  stroke: () => themed(colour),
  paths: () => null,
  points: { show: true, size: 8, width: 1.6, fill: () => themed("page"), stroke: () => themed(colour) },
  ...more,
});
const dashed = { dash: [6, 4] };

/** At most so many whole numbers from low to high. */
function wholes(low, high, most = SPLITS) {
  const step = Math.max(1, Math.ceil((high - low) / most));
  return Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, n) => low + n * step);
}

/** Marks of a logarithmic axis: powers of ten, with 2 and 5 where there are few. */
function decades(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const step = Math.max(1, Math.ceil((last - first) / 5));
  const parts = last - first <= 2 ? [1, 2, 5] : [1];
  const marks = [];
  for (let e = first; e <= last; e += step) for (const part of parts) marks.push(part * 10 ** e);
  return marks.filter((y) => y >= low && y <= high);
}

/** Loss of one document through the run, with a circle where it is about to be trained. */
class CourseChart extends Chart {
  draw({ state, toy, beside }) {
    const [tasks, j] = [state.tasks, state.document - 1];
    const column = ({ values, order }) => {
      const losses = new Array(1 + order.length);
      for (let row = 0; row < losses.length; row++) losses[row] = clear(values[row * tasks + j]);
      const visits = losses.map((loss, row) => (order[row] === j ? loss : null));
      return [losses, visits];
    };
    const columns = [...column(toy.matrix)];
    const series = [line("toy", "toy"), marks("toy, about to be trained", "toy")];
    if (beside) {
      columns.push(...column(beside.found.matrix));
      series.push(line("network", "network", dashed), marks("network, about to be trained", "network"));
    }
    const rows = Math.max(...columns.map((c) => c.length));
    const x = Array.from({ length: rows }, (_, row) => row);
    const padded = columns.map((c) =>
      c.length < rows ? c.concat(new Array(rows - c.length).fill(null)) : c,
    );
    const epochs = (rows - 1) / tasks;
    this.show([x, ...padded], series, {
      x: "epoch",
      splits: wholes(0, epochs, 8).map((e) => e * tasks),
      name: (episode) => String(episode / tasks),
    });
  }
}

/** Mean loss by the episodes since the last visit, one line an epoch. */
class LagChart extends Chart {
  draw({ state, toy, beside }) {
    const columns = [Array.from({ length: state.tasks }, (_, lag) => lag)];
    const series = [];
    const add = (curves, who, more) => {
      for (const [n, curve] of curves.entries()) {
        columns.push(Array.from(curve, clear));
        const place = curves.length > 1 ? n / (curves.length - 1) : 0;
        const stroke = () => inOrder(place, isDark());
        series.push({ ...line(`${who} ${n + 1} of ${curves.length}`, "toy"), stroke, ...more });
      }
    };
    const shown = (curves) => curves.slice(0, state.epochs);
    add(shown(toy.curves), "toy, visit", {});
    if (beside) add(shown(beside.found.curves), "network, visit", dashed);
    this.show(columns, series, {
      x: "episodes since its visit",
      splits: wholes(0, state.tasks - 1, 8),
      name: String,
    });
  }
}

/** Recovery scores by epoch. */
class ScoreChart extends Chart {
  draw({ toy, beside }) {
    const found = [toy.scores, ...(beside ? [beside.found.scores] : [])];
    const count = Math.max(1, ...found.map((scores) => scores.length));
    const columns = found.map((scores) =>
      Array.from({ length: count }, (_, n) => clear(scores[n]?.value ?? Number.NaN)),
    );
    const more = { points: { show: true, size: 8, fill: () => themed("page") } };
    const series = [line("toy", "toy", more)];
    if (beside) series.push(line("network", "network", { ...dashed, ...more }));
    const x = Array.from({ length: count }, (_, n) => n + 1);
    this.show([x, ...columns], series, { x: "epoch", splits: wholes(1, count, 10), name: String });
  }
}

/** Loss of the document about to be trained, and of all documents after the epoch. */
class OnlineChart extends Chart {
  draw({ toy, beside, reference, state }) {
    const more = { points: { show: true, size: 7, fill: () => themed("page") } };
    const thin = { width: 1.2, dash: [2, 3] };
    const columns = [toy.online, toy.after, reference.online, reference.after];
    const series = [
      line("toy, about to be trained", "toy", more),
      line("toy, all after the epoch", "toy", { ...thin, width: 1.8 }),
      line("reshuffled, about to be trained", "other", thin),
      line("reshuffled, all after the epoch", "other", { ...thin, dash: [1, 4] }),
    ];
    if (beside) {
      columns.push(beside.found.online, beside.found.after);
      series.push(
        line("network, about to be trained", "network", more),
        line("network, all after the epoch", "network", { ...thin, width: 1.8 }),
      );
    }
    const count = Math.max(state.epochs, ...columns.map((c) => c.length));
    const x = Array.from({ length: count }, (_, n) => n + 1);
    const filled = columns.map((c) => x.map((n) => clear(c[n - 1] > 0 ? c[n - 1] : Number.NaN)));
    this.show([x, ...filled], series, { x: "epoch", splits: wholes(1, count, 10), name: String });
  }
}

/** What can be drawn; the rest is a gap. */
function clear(value) {
  return Math.abs(value) < 1e15 ? value : null;
}

export function makeCharts() {
  const scores = new ScoreChart("scores", { y: "recovery score" });
  scores.options.range = [0, 1];
  return [
    new CourseChart("course", {}),
    new LagChart("lag", {}),
    scores,
    new OnlineChart("online", { y: "loss", log: true }),
  ];
}

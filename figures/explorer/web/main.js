// The page: one state, one computation, panels that show it.

import { compute } from "#compute.js";
import { fromHash, toHash } from "#state.js";
import { makeCharts } from "#view/charts.js";
import { CircleView } from "#view/circle.js";
import { Controls } from "#view/controls.js";
import { byId } from "#view/dom.js";
import { MatrixView } from "#view/matrices.js";
import { NumbersView } from "#view/numbers.js";
import { RingView } from "#view/ring.js";
import { Runs } from "#view/runs.js";

const runs = new Runs(chooseRun);
const first = location.hash.length > 1 ? location.hash : document.body.dataset.state;
let state = fromHash(first, (id) => runs.has(id));
let waiting = false;

const controls = new Controls(change);
const numbers = new NumbersView();
const views = [...makeCharts(), new MatrixView(), new RingView(() => {}), new CircleView()];

/** @param {object | ((state: object) => object)} part what changes, or how it follows from what is */
function change(part) {
  state = { ...state, ...(typeof part === "function" ? part(state) : part) };
  state.document = Math.max(1, Math.min(state.tasks, Math.round(state.document) || 1));
  // Many events in a frame are one redraw.
  if (!waiting) requestAnimationFrame(redraw);
  waiting = true;
}

function chooseRun(id) {
  const run = runs.get(id);
  if (!run) return change({ run: "", order: state.order === "run" ? "cyclic" : state.order });
  return change({ run: id, ...atFit(run) });
}

/** The state in which a run is seen at its fit. */
function atFit({ tasks, epochs, numbers: fitted }) {
  const link = fitted.halfPoint === undefined ? "linear" : "saturating";
  const sharing = fitted.sharedFraction === undefined ? "all" : "part";
  return {
    tasks,
    epochs,
    order: "run",
    link,
    sharing,
    similarity: 0,
    slowDrift: 0,
    unfittedDrift: 0,
    ...fitted,
  };
}

function redraw() {
  waiting = false;
  const begin = performance.now();
  const run = runs.get(state.run);
  const result = compute(state, run);
  controls.show(state, run, result);
  runs.show(state, run, run ? atFit(run) : {});
  numbers.draw(result);
  for (const view of views) view.draw(result);
  // uPlot draws in a microtask of its own; this one comes after.
  queueMicrotask(() => performance.measure("redraw", { start: begin, end: performance.now() }));
  window.clearTimeout(remembering);
  remembering = window.setTimeout(remember, 200);
}

let remembering = 0;

function remember() {
  const hash = toHash(state.run.startsWith("own-") ? { ...state, run: "", order: plainOrder() } : state);
  if (hash !== (location.hash || "#")) history.replaceState(null, "", hash);
}

function plainOrder() {
  return state.order === "run" ? "cyclic" : state.order;
}

for (const link of document.querySelectorAll("a[data-state]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    open(link.getAttribute("href"));
  });
}

function open(hash) {
  const wanted = fromHash(hash, (id) => runs.has(id));
  // A link that names a run alone means that run at its fit.
  if (wanted.run && !/[?&#](u|s|v|z|p|ds|du)=/.test(hash)) {
    state = wanted;
    chooseRun(wanted.run);
  } else change(wanted);
}

byId("share").addEventListener("click", async () => {
  remember();
  const said = byId("share-said");
  try {
    await navigator.clipboard.writeText(location.href);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "The link is in the address bar.";
  }
});

byId("sheet").addEventListener("click", () => {
  const opened = byId("controls").classList.toggle("opened");
  byId("sheet").setAttribute("aria-expanded", String(opened));
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => open(location.hash));
const again = () => {
  for (const view of views) view.resize();
};
let resizing = 0;
window.addEventListener("resize", () => {
  window.clearTimeout(resizing);
  resizing = window.setTimeout(again, 80);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const view of views) (view.redraw ?? view.resize).call(view);
});
open(first);
redraw();
document.documentElement.dataset.ready = "yes";

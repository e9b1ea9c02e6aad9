// The numbers in words: a table of scores and losses, the key figures, and what a screen reader is told.

import { byId, element, pace, short } from "#view/dom.js";

export class NumbersView {
  draw(result) {
    this.tiles(result);
    this.table(result);
    this.alarm(result);
    this.legend(result);
    window.clearTimeout(this.timer);
    // Once the hand rests: a screen reader would otherwise be told every step of a drag.
    this.timer = window.setTimeout(() => {
      byId("said").textContent = summary(result);
    }, 500);
  }

  tiles(result) {
    const { toy, beside, agreement, approached, turns, limit, state, spectrum } = result;
    const last = (scores) => scores[scores.length - 1];
    const tiles = [];
    const add = (name, value, note = "") => tiles.push([name, value, note]);
    if (toy.scores.length > 0) {
      const n = toy.scores.length;
      add(`Recovery score, epoch ${n}`, scored(last(toy.scores)), last(toy.scores).reason);
      if (beside)
        add("… of the network", scored(last(beside.found.scores)), last(beside.found.scores).reason);
    }
    if (agreement) add("R² over all losses", short(agreement.r2));
    // Of directions that all documents train, where others train fewer.
    const whose = state.sharing === "all" ? "" : ", directions of all";
    if (approached) add(`Recovery approached${whose}`, scored(approached), approached.reason);
    if (spectrum.factor !== null) {
      const { name, value } = pace(spectrum.factor);
      add(name, value);
    }
    if (turns !== null) add(`Turns of w per epoch${whose}`, short(turns));
    add("Slow share / its limit", `${short(state.slowShare, 2)} / ${short(limit)}`);
    if (toy.online.length > 1) {
      const ratio = later(toy.online) / later(result.reference.online);
      add(
        "Online loss, to reshuffled",
        short(ratio),
        "from epoch 2 on; below 1 this order wins while it trains",
      );
    }
    byId("tiles").replaceChildren(
      ...tiles.map(([name, value, note]) =>
        element("div", { className: "tile", title: note }, element("dt", {}, name), element("dd", {}, value)),
      ),
    );
  }

  table({ toy, beside, state }) {
    const shown = [["toy", toy], ...(beside ? [["network", beside.found]] : [])];
    const who = element("tr", {}, element("th", { scope: "col", rowSpan: 2 }, "Epoch"));
    const what = element("tr");
    for (const [name] of shown) {
      who.append(element("th", { scope: "colgroup", colSpan: 3 }, name));
      for (const title of ["recovery", "before training", "after"]) {
        what.append(element("th", { scope: "col" }, title));
      }
    }
    const rows = Array.from({ length: state.epochs }, (_, e) => {
      const cells = [String(e + 1)];
      for (const [, found] of shown) {
        const there = e < found.online.length;
        cells.push(found.scores[e] ? scored(found.scores[e]) : "–");
        cells.push(there ? short(found.online[e]) : "–", there ? short(found.after[e]) : "–");
      }
      return element("tr", {}, ...cells.map((cell, n) => tableCell(cell, n)));
    });
    const table = byId("table");
    table.tHead.replaceChildren(who, what);
    table.tBodies[0].replaceChildren(...rows);
  }

  /** The stability limit is never crossed in silence. */
  alarm({ stable, limit, state, spectrum }) {
    const place = byId("alarm");
    document.body.classList.toggle("unstable", !stable);
    const grows = spectrum.factor > 1 ? ` The loss ${pace(spectrum.factor).words}.` : "";
    const text = stable
      ? ""
      : `Past the stability limit: a slow share of ${short(state.slowShare, 6)} lies above ${short(limit, 6)}.${grows}`;
    if (place.textContent !== text) place.textContent = text;
    place.hidden = stable;
  }

  legend({ beside, run, state }) {
    for (const node of document.querySelectorAll(".if-network")) node.hidden = !beside;
    const other = run && !beside;
    byId("mismatch").hidden = !other;
    byId("mismatch").textContent = other
      ? `${run.name} has ${run.tasks} documents: set T to ${run.tasks} to see it beside the toy (now ${state.tasks}).`
      : "";
  }
}

const scored = (score) => (score.reason ? "none" : score.value.toFixed(2));

function later(values) {
  let sum = 0;
  for (let e = 1; e < values.length; e++) sum += values[e];
  return sum;
}

function tableCell(text, n) {
  return n === 0 ? element("th", { scope: "row" }, text) : element("td", {}, text);
}

function summary({ toy, beside, agreement, stable, state }) {
  const list = (scores) => scores.slice(0, 12).map(scored).join(", ") || "none";
  const parts = [`${state.tasks} documents, ${state.epochs} epochs.`];
  if (state.sharing !== "all") {
    parts.push(`A part of them trains a direction, ${short(state.sharedFraction)} on average.`);
  }
  parts.push(stable ? "Stable." : "Past the stability limit.");
  parts.push(`Recovery scores of the toy: ${list(toy.scores)}.`);
  if (beside) parts.push(`Of the network: ${list(beside.found.scores)}.`);
  if (agreement) parts.push(`R squared ${short(agreement.r2)}.`);
  return parts.join(" ");
}

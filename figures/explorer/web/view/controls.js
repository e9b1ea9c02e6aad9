// Sliders, boxes and lists; every number has a slider to drag and a box to type in.

import { LINKS, NUMBERS, SHARINGS, within } from "#state.js";
import { ORDERS } from "#toy/orders.js";
import { byId, element, short } from "#view/dom.js";

const STEPS = 1000;
const GROUPS = {
  drift: ["slowDrift", "unfittedDrift"],
  training: ["tasks", "epochs"],
  mechanism: ["slowShare", "unfitted", "similarity", "varianceW"],
};

export class Controls {
  /** @param {(change: object) => void} change told what the reader has changed */
  constructor(change) {
    this.change = change;
    this.sliders = {};
    for (const [group, names] of Object.entries({
      ...GROUPS,
      sharing: ["sharedFraction"],
      link: ["halfPoint"],
    })) {
      for (const name of names) byId(`group-${group}`).append(this.slider(name));
    }
    this.order = this.list("order", ORDERS);
    this.sharing = this.list("sharing", SHARINGS);
    this.link = this.list("link", LINKS);
    byId("seed").addEventListener("click", () => change((state) => ({ seed: state.seed + 1 })));
    byId("document").addEventListener("input", (event) => change({ document: Number(event.target.value) }));
  }

  slider(name) {
    const { label, symbol, help, low, high, whole, scale } = NUMBERS[name];
    const range = element("input", { type: "range", id: name, min: 0, max: STEPS, step: whole ? "any" : 1 });
    const box = element("input", {
      type: "number",
      className: "value",
      min: low,
      max: high,
      step: whole ? 1 : "any",
      inputMode: whole ? "numeric" : "decimal",
    });
    box.setAttribute("aria-label", `${label}, typed`);
    range.setAttribute("aria-describedby", `${name}-help`);
    const fitted = element("span", { className: "fitted", hidden: true });
    const limit = element("span", { className: "limit", hidden: true });
    range.addEventListener("input", () => {
      const value = scale.value(Number(range.value) / STEPS);
      this.change({ [name]: within(name, whole ? value : Number(value.toPrecision(4)), low) });
    });
    // With steps of a whole number an arrow key must move by one, wherever on the scale.
    if (whole) {
      range.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        // From what is, not from what was last shown: two presses may come in one frame.
        this.change((state) => ({ [name]: within(name, state[name] + by, low) }));
      });
    }
    box.addEventListener("change", () => {
      if (box.value === "") this.show(this.state);
      else this.change({ [name]: within(name, Number(box.value), this.state[name]) });
    });
    this.sliders[name] = { range, box, fitted, limit };
    const text = element("label", { htmlFor: name }, label, " ", element("i", {}, symbol));
    const track = element("span", { className: "track" }, range, fitted, limit);
    const note = element("small", { id: `${name}-help` }, help);
    return element("div", { className: "number", id: `number-${name}` }, text, box, track, note);
  }

  list(name, choices) {
    const list = byId(name);
    for (const [value, text] of Object.entries(choices)) list.append(element("option", { value }, text));
    list.addEventListener("change", () => this.change({ [name]: list.value }));
    return list;
  }

  show(state, run, result) {
    this.state = state;
    for (const [name, { range, box, fitted }] of Object.entries(this.sliders)) {
      const { scale, whole } = NUMBERS[name];
      range.value = String(STEPS * scale.place(state[name]));
      range.setAttribute("aria-valuetext", short(state[name], 4));
      if (document.activeElement !== box) box.value = String(Number(state[name].toPrecision(4)));
      const fit = run?.numbers?.[name];
      fitted.hidden = fit === undefined || whole === true;
      if (!fitted.hidden) {
        fitted.style.setProperty("--place", String(scale.place(within(name, fit, fit))));
        fitted.title = `fitted: ${short(fit)}`;
      }
    }
    this.showLimit(result);
    if (state.slowDrift !== 0 || state.unfittedDrift !== 0) byId("group-drift").open = true;
    byId("number-sharedFraction").hidden = state.sharing === "all";
    byId("number-halfPoint").hidden = state.link === "linear";
    const own = this.order.querySelector('[value="run"]');
    if (run && !own) this.order.prepend(element("option", { value: "run" }, "the run’s own"));
    if (!run) own?.remove();
    this.order.value = state.order;
    this.sharing.value = state.sharing;
    this.link.value = state.link;
    byId("seed").hidden = !["reshuffled", "iid", "middle"].includes(state.order);
    const which = byId("document");
    which.max = String(state.tasks);
    if (document.activeElement !== which) which.value = String(state.document);
  }

  /** Where on the slow share's slider training begins to diverge. */
  showLimit(result) {
    const { range, limit } = this.sliders.slowShare;
    const { scale, high } = NUMBERS.slowShare;
    limit.hidden = !(result?.limit < high);
    if (!limit.hidden) limit.style.setProperty("--place", String(scale.place(result.limit)));
    limit.title = limit.hidden ? "" : `stability limit: ${short(result.limit, 4)}`;
    range.classList.toggle("past", result ? !result.stable : false);
  }
}

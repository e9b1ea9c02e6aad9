// Networks beside the toy: those that came with the page, and those that the reader drops on it.

import { measured } from "#compute.js";
import { FileProblem, readMatrix } from "#files/matrix.js";
import { fitFour } from "#toy/fit.js";
import { byId, element, short } from "#view/dom.js";

const MOST_BYTES = 64 * 2 ** 20;

export class Runs {
  /** @param {(id: string) => void} choose told which run the reader wants, "" for none */
  constructor(choose) {
    this.choose = choose;
    this.byId = new Map();
    this.list = byId("run");
    for (const given of JSON.parse(byId("runs").textContent))
      this.offer(given.id, given.name, given.group, given);
    this.list.addEventListener("change", () => choose(this.list.value));
    byId("back").addEventListener("click", () => choose(this.list.value));
    byId("file").addEventListener("change", (event) => {
      this.take([...event.target.files]);
      event.target.value = "";
    });
    this.listenForDrops();
  }

  offer(id, name, group, given) {
    let place = [...this.list.querySelectorAll("optgroup")].find((one) => one.label === group);
    if (!place) {
      place = element("optgroup", { label: group });
      this.list.append(place);
    }
    place.append(element("option", { value: id }, name));
    this.byId.set(id, given);
  }

  has(id) {
    return this.byId.has(id);
  }

  /** A run by its id, unpacked when it is first asked for. */
  get(id) {
    const given = this.byId.get(id);
    if (!given) return null;
    if (!given.found) {
      const { tasks, epochs, losses, order, fit, scales } = given;
      const schedule = order ?? Array.from({ length: epochs * tasks }, (_, t) => t % tasks);
      const matrix = { tasks, values: unpacked(losses), order: Int32Array.from(schedule) };
      given.numbers = fit;
      given.scales = Float64Array.from(scales);
      given.found = measured(matrix);
    }
    return given;
  }

  /** @param {object} fit the state in which the run is seen at its fit */
  show(state, run, fit) {
    this.list.value = state.run;
    byId("facts").textContent = run?.facts ?? "";
    byId("back").hidden = Object.entries(fit).every(([name, value]) => {
      if (["tasks", "epochs", "order"].includes(name)) return true;
      return typeof value === "string"
        ? state[name] === value
        : Math.abs(state[name] - value) <= 1e-3 * Math.abs(value);
    });
  }

  listenForDrops() {
    const zone = document.body;
    let inside = 0;
    const mark = (change) => {
      inside = Math.max(0, inside + change);
      zone.classList.toggle("dropping", inside > 0);
    };
    zone.addEventListener("dragenter", () => mark(1));
    zone.addEventListener("dragleave", () => mark(-1));
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("drop", async (event) => {
      event.preventDefault();
      inside = 0;
      mark(0);
      try {
        await this.take(await filesOf(event.dataTransfer));
      } catch (error) {
        if (!(error instanceof FileProblem)) throw error;
        this.say(`${error.cause}: ${error.message}.`, true);
      }
    });
  }

  async take(files) {
    const file = files.find(({ name }) => name === "losses.npz") ?? files[0];
    if (!file) return this.say("Nothing was dropped that could be read: drop a file, or a run folder.", true);
    try {
      if (file.size > MOST_BYTES) throw new FileProblem(`it is larger than ${MOST_BYTES / 2 ** 20} MiB`);
      const matrix = await readMatrix(file.name, new Uint8Array(await file.arrayBuffer()));
      return await this.fit(file.name, matrix);
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      return this.say(`${file.name}: ${error.message}.`, true);
    }
  }

  async fit(name, { tasks, epochs, values, order }) {
    const matrix = { tasks, values, order };
    const search = fitFour(matrix);
    let step = search.next();
    let shown = performance.now();
    while (!step.done) {
      if (performance.now() - shown > 60) {
        this.say(`${name}: fitting, ${Math.round(100 * step.value)} %`);
        await new Promise((resume) => setTimeout(resume));
        shown = performance.now();
      }
      step = search.next();
    }
    const { numbers, scales, r2 } = step.value;
    const id = `own-${this.byId.size}`;
    const facts = `Your file: ${tasks} documents, ${epochs} epochs. R² of the fit ${short(r2)} over all losses.`;
    const run = { id, name, tasks, epochs, numbers, scales, facts, found: measured(matrix) };
    this.offer(id, name, "Yours (on this page only)", run);
    this.say(
      `${name}: u ${short(numbers.unfitted)}, s ${short(numbers.slowShare)}, v ${short(numbers.varianceW)}, z ${short(numbers.halfPoint)}. ${facts}`,
    );
    this.choose(id);
  }

  say(text, wrong = false) {
    const place = byId("file-said");
    place.textContent = text;
    place.classList.toggle("wrong", wrong);
  }
}

/** Little-endian single precision behind base64. */
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return Float64Array.from(new Float32Array(bytes.buffer));
}

/** Dropped files; of a folder its losses.npz. */
async function filesOf(transfer) {
  // Both must be asked for before anything is awaited: afterwards the browser has forgotten the drop.
  const plain = [...transfer.files];
  const handles = [...transfer.items].map((item) => item.getAsFileSystemHandle?.());
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  const number = entries.findIndex((entry) => entry?.isDirectory);
  if (number < 0) return plain;
  const folder = entries[number];
  try {
    const handle = await handles[number];
    if (handle) return [await (await handle.getFileHandle("losses.npz")).getFile()];
    return [
      await new Promise((found, lost) => folder.getFile("losses.npz", {}, (e) => e.file(found, lost), lost)),
    ];
  } catch {
    throw new FileProblem(
      "no losses.npz could be read in this folder (some browsers let no page look into one); drop the file itself",
      { cause: folder.name },
    );
  }
}

// The solutions in their plane, played episode by episode: a cloud that becomes a ring, and w on its way round.

import { PLAYED } from "#compute.js";
import { ringPath } from "#toy/ringpath.js";
import { inOrder, isDark, themed } from "#view/colours.js";
import { byId, element, fitCanvas, Place, short } from "#view/dom.js";

const SIZE = 300;
// Half the picture, in root mean squares of the solutions along an axis.
const REACH = 2.6;

export class RingView {
  /** @param {(episode: number | null) => void} onMove told where the player is */
  constructor(onMove) {
    this.onMove = onMove;
    const figure = byId("ring");
    this.place = new Place("ring", 420);
    this.canvas = element("canvas", { role: "img" });
    this.place.node.append(this.canvas);
    this.note = figure.querySelector(".note");
    this.slider = byId("episode");
    this.button = byId("play");
    this.speed = byId("speed");
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.slider.addEventListener("input", () => {
      this.stop();
      this.seek(Number(this.slider.value));
    });
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    byId("step").addEventListener("click", () => {
      this.stop();
      this.seek(this.episode + 1);
    });
  }

  draw({ state, shares, played, stable }) {
    this.whose = state.sharing === "all" ? "" : "Directions that all documents train. ";
    const { tasks, varianceW, seed } = state;
    this.tasks = tasks;
    this.order = played;
    this.stable = stable;
    this.document = state.document - 1;
    this.path = ringPath({ tasks, ...shares, varianceW, order: played, seed });
    // What is left of the pattern after so many epochs is rounding, or beyond all bounds.
    const clear = this.path.radius.findIndex((r) => !(r > 1e-9 * this.path.radius[0] && r < 1e9));
    this.last = (clear < 0 ? PLAYED : Math.max(1, clear - 1)) * tasks;
    this.slider.max = String(this.last);
    if (this.episode === undefined) this.episode = Math.min(state.epochs, PLAYED) * tasks;
    this.seek(Math.min(this.episode, this.last));
  }

  seek(episode) {
    this.episode = Math.max(0, Math.min(this.last, episode));
    this.slider.value = String(this.episode);
    const epoch = Math.floor(this.episode / this.tasks);
    const text = `epoch ${epoch}, episode ${this.episode % this.tasks}`;
    this.slider.setAttribute("aria-valuetext", text);
    byId("where").textContent = text;
    this.paint();
    this.onMove(this.episode);
  }

  start() {
    if (this.episode >= this.last) this.episode = 0;
    this.button.textContent = "Pause";
    // Without motion the player jumps from epoch to epoch, unhurried.
    if (this.calm.matches) {
      this.timer = window.setInterval(() => this.go(this.tasks), 1500);
      return;
    }
    let before = performance.now();
    let owed = 0;
    const frame = (now) => {
      owed += ((now - before) / 1000) * Number(this.speed.value) * this.tasks;
      before = now;
      const whole = Math.floor(owed);
      owed -= whole;
      if (whole > 0) this.go(whole);
      if (this.timer) this.timer = requestAnimationFrame(frame);
    };
    this.timer = requestAnimationFrame(frame);
  }

  go(episodes) {
    this.seek(this.episode + episodes);
    if (this.episode >= this.last) this.stop();
  }

  stop() {
    if (!this.timer) return;
    window.clearInterval(this.timer);
    window.cancelAnimationFrame(this.timer);
    this.timer = 0;
    this.button.textContent = "Play";
  }

  paint() {
    const { width } = this.place;
    const context = fitCanvas(this.canvas, width, SIZE);
    const { q, w } = this.path.at(this.episode);
    const view = this.path.view(this.episode);
    const unit = SIZE / 2 / REACH;
    const [cx, cy] = [width / 2, SIZE / 2];
    const x = (points, n) => cx + unit * (view[0] * points[2 * n] + view[1] * points[2 * n + 1]);
    const y = (points, n) => cy - unit * (view[1] * points[2 * n] + view[2] * points[2 * n + 1]);
    const dark = isDark();

    context.lineWidth = 1;
    context.strokeStyle = themed("grid-strong");
    context.beginPath();
    for (let j = 0; j <= this.tasks; j++) context.lineTo(x(q, j % this.tasks), y(q, j % this.tasks));
    context.stroke();

    // The last turn of the fast weights, fading backwards.
    const trail = Math.min(this.episode, this.tasks);
    context.strokeStyle = themed("toy");
    context.lineWidth = 2;
    for (let back = trail; back > 0; back--) {
      const t = this.episode - back;
      context.globalAlpha = 0.15 + 0.85 * (1 - back / (trail + 1));
      context.beginPath();
      context.moveTo(x(this.path.path, t), y(this.path.path, t));
      context.lineTo(x(this.path.path, t + 1), y(this.path.path, t + 1));
      context.stroke();
    }
    context.globalAlpha = 1;

    const size = this.tasks > 60 ? 2.5 : 5;
    const trained = this.episode > 0 ? this.order[this.episode - 1] : -1;
    for (let j = this.tasks - 1; j >= 0; j--) {
      context.beginPath();
      context.arc(x(q, j), y(q, j), j === trained ? size + 3 : size, 0, 2 * Math.PI);
      context.fillStyle = inOrder(this.tasks > 1 ? j / (this.tasks - 1) : 0, dark);
      context.fill();
      if (j === trained) {
        context.lineWidth = 2;
        context.strokeStyle = themed("ink");
        context.stroke();
      }
    }
    context.fillStyle = themed("ink");
    context.font = "12px system-ui, sans-serif";
    const named = this.document;
    context.fillText(String(named + 1), x(q, named) + 8, y(q, named) - 6);
    cross(context, x(w, 0), y(w, 0), themed("toy"));
    context.fillText("w", x(w, 0) + 9, y(w, 0) + 12);

    const epoch = Math.floor(this.episode / this.tasks);
    const grown = (100 * this.path.radius[epoch]) / this.path.radius[0];
    const part = Number.isFinite(grown) ? `to ${short(grown)} %` : "beyond all numbers";
    const note = this.stable
      ? `${this.whose}The view follows the pattern, which has shrunk ${part} of its size before training, and evens its spread.`
      : `${this.whose}The view follows the pattern, which has grown ${part}${Number.isFinite(grown) ? " of its size before training" : ""}.`;
    this.note.textContent = note;
    this.canvas.setAttribute(
      "aria-label",
      `Solutions of ${this.tasks} documents and the fast weights in a plane after ${this.episode} episodes. ${note}`,
    );
  }

  resize() {
    this.place.measure();
    if (this.path) this.paint();
  }
}

function cross(context, x, y, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.beginPath();
  context.moveTo(x - 6, y - 6);
  context.lineTo(x + 6, y + 6);
  context.moveTo(x - 6, y + 6);
  context.lineTo(x + 6, y - 6);
  context.stroke();
}

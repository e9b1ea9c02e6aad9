// Loss matrices as pictures: time to the right, documents downwards, one pixel a loss, then enlarged.

import { gradientOf, isDark, LOSS_PIXELS, residualPixels, themed } from "#view/colours.js";
import { element, fitCanvas, Place, short } from "#view/dom.js";

const HEIGHT = 150;
const MARGIN = 34;

export class MatrixView {
  constructor() {
    this.place = new Place("matrix");
    this.maps = {};
    for (const name of ["toy", "network", "residual"]) {
      const canvas = element("canvas", { role: "img" });
      const title = element("span", { className: "map-title" });
      const low = element("span");
      const high = element("span");
      const bar = element("span", { className: "map-bar" });
      const legend = element("span", { className: "map-legend" }, low, bar, high);
      const box = element(
        "div",
        { className: "map", hidden: true },
        element("div", {}, title, legend),
        canvas,
      );
      this.place.node.append(box);
      this.maps[name] = { box, canvas, title, low, high, bar, image: document.createElement("canvas") };
      canvas.addEventListener("pointermove", (event) => this.point(name, event));
      canvas.addEventListener("pointerleave", () => this.say(""));
    }
    this.said = element("p", { className: "hover" });
    this.place.node.append(this.said);
  }

  draw(result) {
    this.result = result;
    const { toy, beside, agreement, state } = result;
    const high = largest(beside ? beside.found.matrix.values : toy.matrix.values);
    this.map("toy", "Toy", toy.matrix, 0, high, LOSS_PIXELS);
    this.map("network", "Network", beside?.found.matrix, 0, high, LOSS_PIXELS);
    const residual = agreement && { tasks: state.tasks, values: agreement.residuals };
    const reach = residual ? largest(residual.values.map(Math.abs)) : 1;
    this.map("residual", "Network − toy", residual, -reach, reach, residualPixels(isDark()));
  }

  map(name, title, matrix, low, high, pixels) {
    const map = this.maps[name];
    map.box.hidden = !matrix;
    map.matrix = matrix;
    if (!matrix) return;
    const { tasks, values } = matrix;
    const rows = values.length / tasks;
    map.title.textContent = title;
    map.low.textContent = short(low, 2);
    map.high.textContent = short(high, 2);
    map.bar.style.background = gradientOf(pixels);
    map.canvas.setAttribute(
      "aria-label",
      `${title}: ${tasks} documents by ${rows} evaluations, from ${short(low)} to ${short(high)}`,
    );
    const image = new ImageData(rows, tasks);
    const packed = new Uint32Array(image.data.buffer);
    const factor = 255 / (high - low || 1);
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < tasks; j++) {
        const place = (values[row * tasks + j] - low) * factor;
        packed[j * rows + row] = pixels[place < 255 ? (place > 0 ? place | 0 : 0) : 255];
      }
    }
    map.image.width = rows;
    map.image.height = tasks;
    map.image.getContext("2d").putImageData(image, 0, 0);
    this.paint(map, rows);
  }

  paint(map, rows) {
    const { width } = this.place;
    const context = fitCanvas(map.canvas, width, HEIGHT);
    context.imageSmoothingEnabled = false;
    const [across, down] = [width - MARGIN, HEIGHT - 18];
    context.drawImage(map.image, MARGIN, 0, across, down);
    context.fillStyle = themed("soft-ink");
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    context.fillText("1", MARGIN - 5, 10);
    context.fillText(String(map.image.height), MARGIN - 5, down);
    context.textAlign = "center";
    const epochs = (rows - 1) / map.image.height;
    const step = Math.ceil(epochs / 10);
    for (let e = 0; e < epochs; e += step) {
      const x = MARGIN + (across * (1 + e * map.image.height)) / rows;
      context.fillRect(x, down, 1, 4);
      context.fillText(String(e), x, HEIGHT - 4);
    }
  }

  point(name, event) {
    const { matrix, canvas } = this.maps[name];
    const { tasks, values } = matrix;
    const rows = values.length / tasks;
    const x = (event.offsetX - MARGIN) / (canvas.clientWidth - MARGIN);
    const y = event.offsetY / (HEIGHT - 18);
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return this.say("");
    const [row, j] = [Math.floor(x * rows), Math.floor(y * tasks)];
    return this.say(`document ${j + 1} after ${row} episodes: ${short(values[row * tasks + j])}`);
  }

  say(text) {
    this.said.textContent = text;
  }

  resize() {
    this.place.measure();
    if (this.result) this.draw(this.result);
  }
}

/** The largest number that can be drawn. */
function largest(values) {
  let most = 0;
  for (const value of values) if (value > most && value < 1e15) most = value;
  return most || 1;
}

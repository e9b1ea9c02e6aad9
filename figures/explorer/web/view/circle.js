// Eigenvalues of an epoch in the unit circle: inside patterns die out, outside losses grow.

import { themed } from "#view/colours.js";
import { byId, element, fitCanvas, Place, pace, short } from "#view/dom.js";

const SIZE = 300;

export class CircleView {
  constructor() {
    this.place = new Place("circle", 420);
    this.canvas = element("canvas", { role: "img" });
    this.place.node.append(this.canvas);
    this.note = byId("circle").querySelector(".note");
  }

  draw(result) {
    this.result = result;
    const { spectrum, stable } = result;
    const { width } = this.place;
    const context = fitCanvas(this.canvas, width, SIZE);
    // Past the limit the circle shrinks so that what has left it stays in sight.
    let reach = 1.12;
    for (let k = 0; k < spectrum.re.length; k++) {
      const modulus = Math.hypot(spectrum.re[k], spectrum.im[k]);
      if (modulus < 1e6) reach = Math.max(reach, 1.08 * modulus);
    }
    const unit = (SIZE / 2 - 4) / reach;
    const [cx, cy] = [width / 2, SIZE / 2];
    context.lineWidth = 1;
    context.strokeStyle = themed("grid");
    context.beginPath();
    context.moveTo(cx - unit * reach, cy);
    context.lineTo(cx + unit * reach, cy);
    context.moveTo(cx, cy - unit * reach);
    context.lineTo(cx, cy + unit * reach);
    context.stroke();
    context.beginPath();
    context.arc(cx, cy, unit, 0, 2 * Math.PI);
    context.fillStyle = themed("panel");
    context.strokeStyle = themed("soft-ink");
    context.lineWidth = 1.5;
    context.stroke();
    context.fillStyle = themed("soft-ink");
    context.font = "11px system-ui, sans-serif";
    context.fillText("1", cx + unit + 4, cy - 4);
    context.fillText("stability limit", cx + 0.72 * unit, cy - 0.74 * unit);
    this.points(context, spectrum, cx, cy, unit);
    const note = describe(result);
    this.note.textContent = note;
    this.canvas.setAttribute("aria-label", `Eigenvalues in the unit circle. ${note}`);
    this.canvas.classList.toggle("past", !stable);
  }

  points(context, { own, re, im }, cx, cy, unit) {
    const lead = re.length ? Math.hypot(re[0], im[0]) : 0;
    for (let k = re.length - 1; k >= 0; k--) {
      const modulus = Math.hypot(re[k], im[k]);
      if (!(modulus < 1e6)) continue;
      const first = own && modulus > lead * (1 - 1e-9);
      const outside = modulus > 1 + 1e-9;
      context.beginPath();
      context.arc(cx + unit * re[k], cy - unit * im[k], first ? 5 : 3, 0, 2 * Math.PI);
      context.fillStyle = themed(outside ? "danger" : own ? (first ? "toy" : "point") : "grid-strong");
      context.fill();
    }
  }

  resize() {
    this.place.measure();
    if (this.result) this.draw(this.result);
  }
}

/** What the circle says, in words. */
function describe(result) {
  const whose = result.state.sharing === "all" ? "" : "Of directions that all documents train. ";
  return whose + told(result);
}

function told({ spectrum, stable }) {
  const { kind, own, re, im, factor } = spectrum;
  const growth = factor === null ? "" : ` In the end the loss ${pace(factor).words}.`;
  if (!stable) return `Past the stability limit: an eigenvalue has left the circle.${growth}`;
  if (kind === "palindrome" && own) {
    return `One forward and one backward epoch: every eigenvalue is real, so nothing turns.${growth}`;
  }
  if (!own) {
    return `No two epochs are alike, so there is no spectrum; grey: the same shares in a fixed order.${growth}`;
  }
  if (Math.abs(im[0]) <= 1e-9 * Math.abs(re[0])) {
    return `The leading eigenvalue is real: nothing turns.${growth}`;
  }
  const angle = (Math.abs(Math.atan2(im[0], re[0])) * 180) / Math.PI;
  return `The leading pair turns by ${short(angle)}° per epoch: the pattern moves along the ring.${growth}`;
}

// Elements made in code: text is always text, never markup.

/**
 * @param {string} tag
 * @param {Record<string, unknown>} attributes properties where the element has them, else attributes
 * @param {...(Node | string)} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** A number for reading: three digits that count, no more. */
export function short(value, digits = 3) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) {
    const [mantissa, exponent] = value.toExponential(1).split("e");
    return `${mantissa}·10${superscript(Number(exponent))}`;
  }
  return Number(value.toPrecision(digits)).toString().replace("-", "−");
}

/** How fast losses change in the end, from the factor of an epoch: what a tile says, and a sentence. */
export function pace(factor) {
  if (Math.abs(factor - 1) < 1e-9) return { name: "Loss, in the end", value: "stays", words: "stays" };
  if (factor < 1e-30) return { name: "Loss", value: "gone at once", words: "is gone after an epoch" };
  const does = factor < 1 ? "halves" : "doubles";
  const value = `${short(Math.LN2 / Math.abs(Math.log(factor)))} epochs`;
  return { name: `Loss ${does}, in the end, every`, value, words: `${does} every ${value}` };
}

function superscript(exponent) {
  return String(exponent).replace(/[-\d]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]));
}

/** A canvas as large as its place, in the device's own pixels; the context is in CSS pixels. */
export function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** How wide a place is; measured when the window changes, since asking makes the browser lay out the page. */
export class Place {
  constructor(id, most = Infinity) {
    this.node = byId(id).querySelector(".plot");
    this.most = most;
    this.measure();
  }

  measure() {
    this.width = Math.max(240, Math.min(this.node.clientWidth, this.most));
  }
}

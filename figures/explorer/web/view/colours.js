// Colours: those of the page's theme, and maps whose lightness rises steadily, safe for colour-blind eyes.

// Nine of viridis' and cividis' 256 colours, evenly spaced (Nuñez, Anderton and Renslow 2018; van der Walt
// and Smith 2015); in between is linear.
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"];
const CIVIDIS = ["00224e", "1a386f", "434e6c", "61646f", "7d7c78", "9b9476", "bcae6c", "dfca57", "fee838"];

function table(anchors) {
  const points = anchors.map((hex) => [0, 2, 4].map((n) => Number.parseInt(hex.slice(n, n + 2), 16)));
  return Array.from({ length: 256 }, (_, n) => {
    const place = (n / 255) * (points.length - 1);
    const k = Math.min(Math.floor(place), points.length - 2);
    return points[k].map((c, axis) => Math.round(c + (place - k) * (points[k + 1][axis] - c)));
  });
}

const viridis = table(VIRIDIS);
const cividis = table(CIVIDIS);
const clamp = (x) => Math.max(0, Math.min(255, Math.round(255 * x)));
const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/** Place in an order, 0 to 1; the ends are left out, which vanish on light or on dark ground. */
export function inOrder(place, dark) {
  return css(viridis[clamp(dark ? 0.25 + 0.75 * place : 0.88 * place)]);
}

/** Packed pixels (ABGR, as ImageData has them) of losses from 0 to 1. */
export const LOSS_PIXELS = Uint32Array.from(cividis, pixel);

/** Packed pixels of residuals, -1 to 1: blue below, orange above, the ground in between. */
export function residualPixels(dark) {
  const [low, middle, high] = [[0, 114, 178], dark ? [34, 37, 42] : [250, 250, 250], [213, 94, 0]];
  return Uint32Array.from({ length: 256 }, (_, n) => {
    const place = (n - 127.5) / 127.5;
    const end = place < 0 ? low : high;
    return pixel(middle.map((c, axis) => Math.round(c + Math.abs(place) * (end[axis] - c))));
  });
}

function pixel([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** A gradient of a packed table, for a legend. */
export function gradientOf(pixels) {
  const stops = Array.from({ length: 9 }, (_, n) => {
    const packed = pixels[clamp(n / 8)];
    return css([packed & 255, (packed >> 8) & 255, (packed >> 16) & 255]);
  });
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const known = new Map();
dark.addEventListener("change", () => known.clear());

export const isDark = () => dark.matches;

/** A colour of the page's theme by its variable's name; asked of the style sheet once. */
export function themed(name) {
  if (!known.has(name)) {
    known.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return known.get(name);
}

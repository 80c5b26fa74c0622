// Size and shape of a lesion from its mask: the arithmetic of dermaseg_monai/metrics/lesion_shape.py, which cites its sources.

import { findRegions } from "./regions.js";
import { resizeFloats } from "./resample.js";

const GRID_DIAMETER = 160; // pixels: larger lesions are reduced to it
const SMOOTHING = 1.6; // pixels of that grid
const SEARCH_STEP = 3; // degrees
const RADIUS = Math.floor(4 * SMOOTHING + 0.5);

/** Measure a mask (Uint8Array of 0 and 1): names and meanings are those of the server's interface. */
export function measureMask(mask, width, height) {
  let area = 0;
  for (let at = 0; at < mask.length; at++) area += mask[at];
  const none = { asymmetry: null, border_irregularity: null, diameter_px: null, touches_edge: false };
  if (!area) return { area_share: 0, area_px: 0, ...none };
  const region = largestRegion(mask, width, height);
  const shape = onGrid(region);
  return {
    area_share: area / mask.length,
    area_px: area,
    asymmetry: asymmetry(shape),
    border_irregularity: borderIrregularity(shape),
    diameter_px: greatestDiameter(region),
    touches_edge: region.touchesEdge,
  };
}

/** The largest region, holes filled, cut out of the mask. */
function largestRegion(mask, width, height) {
  const found = findRegions(mask, width, height, 1, true);
  const largest = found.areas.indexOf(found.areas.reduce((a, b) => Math.max(a, b)));
  const runs = [...found.starts.keys()].filter((run) => found.region[run] === largest);
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (const run of runs) {
    left = Math.min(left, found.starts[run]), right = Math.max(right, found.stops[run]);
    top = Math.min(top, found.rows[run]), bottom = Math.max(bottom, found.rows[run] + 1);
  }
  const [inner, outer] = [right - left, bottom - top];
  // a frame of background, so that one region of it surrounds the lesion
  const framed = new Uint8Array((inner + 2) * (outer + 2));
  for (const run of runs) {
    const base = (found.rows[run] - top + 1) * (inner + 2) + 1 - left;
    framed.fill(1, base + found.starts[run], base + found.stops[run]);
  }
  const outside = findRegions(framed, inner + 2, outer + 2, 0, false);
  const pixels = new Uint8Array(inner * outer).fill(1);
  for (let run = 0; run < outside.starts.length; run++) {
    const row = outside.rows[run] - 1;
    if (outside.region[run] !== 0 || row < 0 || row >= outer) continue;
    const from = Math.max(0, outside.starts[run] - 1), to = Math.min(inner, outside.stops[run] - 1);
    if (from < to) pixels.fill(0, row * inner + from, row * inner + to);
  }
  return { pixels, width: inner, height: outer, touchesEdge: !left || !top || right === width || bottom === height };
}

/** The greatest distance between two points of a region whose pixels are squares of side 1. */
function greatestDiameter({ pixels, width, height }) {
  const points = [];
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width, (y + 1) * width);
    const first = row.indexOf(1);
    if (first < 0) continue;
    const after = row.lastIndexOf(1) + 1;
    points.push([first, y], [first, y + 1], [after, y], [after, y + 1]);
  }
  const hull = convexHull(points);
  let greatest = 0;
  for (let one = 0; one < hull.length; one++) {
    for (let other = one + 1; other < hull.length; other++) {
      greatest = Math.max(greatest, Math.hypot(hull[one][0] - hull[other][0], hull[one][1] - hull[other][1]));
    }
  }
  return greatest;
}

function convexHull(points) {
  points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const chain = (sorted) => {
    const kept = [];
    for (const point of sorted) {
      while (kept.length > 1) {
        const [a, b] = kept.slice(-2);
        if ((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]) > 0) break;
        kept.pop();
      }
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  return [...chain(points), ...chain([...points].reverse())];
}

/** The region's coverage of a grid on which its diameter is at most GRID_DIAMETER, with a margin. */
function onGrid({ pixels, width, height }) {
  let area = 0;
  for (let at = 0; at < pixels.length; at++) area += pixels[at];
  const factor = Math.max(1, Math.sqrt((4 * area) / Math.PI) / GRID_DIAMETER);
  let [values, columns, rows] = [Float32Array.from(pixels), width, height];
  if (factor > 1) {
    [columns, rows] = [Math.ceil(width / factor), Math.ceil(height / factor)];
    const padded = [Math.max(width, Math.ceil(columns * factor)), Math.max(height, Math.ceil(rows * factor))];
    const larger = new Float32Array(padded[0] * padded[1]);
    for (let y = 0; y < height; y++) larger.set(values.subarray(y * width, (y + 1) * width), y * padded[0]);
    const box = [0, 0, Math.min(columns * factor, padded[0]), Math.min(rows * factor, padded[1])];
    values = resizeFloats(larger, padded, box, [columns, rows]);
  }
  const margin = Math.ceil(6 * SMOOTHING);
  const [outWidth, outHeight] = [columns + 2 * margin, rows + 2 * margin];
  const result = new Float64Array(outWidth * outHeight);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) result[(y + margin) * outWidth + x + margin] = values[y * columns + x];
  }
  return { values: result, width: outWidth, height: outHeight };
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

const GAUSSIAN = (() => {
  const weights = Array.from({ length: 2 * RADIUS + 1 }, (_, at) => Math.exp(-0.5 * ((at - RADIUS) / SMOOTHING) ** 2));
  return weights.map((weight) => weight / sum(weights));
})();
const DERIVATIVE = GAUSSIAN.map((weight, at) => (-(at - RADIUS) / SMOOTHING ** 2) * weight);

function correlate({ values, width, height }, kernel, step) {
  const length = step === 1 ? width : height;
  const result = new Float64Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const place = step === 1 ? at % width : Math.floor(at / width);
    let total = 0;
    for (let k = -RADIUS; k <= RADIUS; k++) {
      if (place + k >= 0 && place + k < length) total += kernel[k + RADIUS] * values[at + k * step];
    }
    result[at] = total;
  }
  return { values: result, width, height };
}

function borderIrregularity(shape) {
  const across = correlate(correlate(shape, DERIVATIVE, 1), GAUSSIAN, shape.width).values;
  const down = correlate(correlate(shape, GAUSSIAN, 1), DERIVATIVE, shape.width).values;
  let perimeter = 0;
  for (let at = 0; at < across.length; at++) perimeter += Math.hypot(across[at], down[at]);
  return Math.max(1, perimeter ** 2 / (4 * Math.PI * sum(shape.values)));
}

function asymmetry(sharp) {
  const shape = correlate(correlate(sharp, GAUSSIAN, 1), GAUSSIAN, sharp.width);
  const { values, width, height } = shape;
  let [total, row, column] = [0, 0, 0];
  for (let at = 0; at < values.length; at++) {
    total += values[at], row += Math.floor(at / width) * values[at], column += (at % width) * values[at];
  }
  row /= total, column /= total;

  const unmatched = (degrees) => {
    const angle = (2 * degrees * Math.PI) / 180;
    let [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
    let missing = 0;
    for (let side = 0; side < 2; side++, cosine = -cosine, sine = -sine) {
      for (let y = 0, at = 0; y < height; y++) {
        for (let x = 0; x < width; x++, at++) {
          if (!values[at]) continue;
          const fromRow = cosine * (y - row) + sine * (x - column) + row;
          const fromColumn = sine * (y - row) - cosine * (x - column) + column;
          missing += Math.max(0, values[at] - sample(shape, fromRow, fromColumn));
        }
      }
    }
    return missing / (2 * total);
  };

  let best = 0, lowest = Infinity;
  for (let angle = 0; angle < 90; angle += SEARCH_STEP) {
    const value = unmatched(angle);
    if (value < lowest) [best, lowest] = [angle, value];
  }
  return Math.min(lowest, refined(unmatched, best - SEARCH_STEP, best + SEARCH_STEP));
}

/** The lowest value between two places, by golden sections down to 0.05. */
function refined(f, low, high) {
  const golden = (Math.sqrt(5) - 1) / 2;
  let [a, b] = [high - golden * (high - low), low + golden * (high - low)];
  let [fa, fb] = [f(a), f(b)];
  while (high - low > 0.05) {
    if (fa < fb) {
      [high, b, fb] = [b, a, fa];
      a = high - golden * (high - low), fa = f(a);
    } else {
      [low, a, fa] = [a, b, fb];
      b = low + golden * (high - low), fb = f(b);
    }
  }
  return Math.min(fa, fb);
}

function sample({ values, width, height }, row, column) {
  if (row < 0 || column < 0 || row > height - 1 || column > width - 1) return 0;
  const y = Math.min(Math.floor(row), height - 2), x = Math.min(Math.floor(column), width - 2);
  const [down, across] = [row - y, column - x];
  const at = y * width + x;
  const upper = values[at] * (1 - across) + values[at + 1] * across;
  const lower = values[at + width] * (1 - across) + values[at + width + 1] * across;
  return upper * (1 - down) + lower * down;
}

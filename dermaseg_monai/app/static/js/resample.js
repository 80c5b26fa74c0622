// Resampling with Pillow's arithmetic, and interpolation with PyTorch's.

const PRECISION = 22; // bits behind the point of Pillow's 8-bit coefficients
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
};

/** For each output pixel of one axis: the first input pixel and the weights, which sum to 1. */
function coefficients(input, from, to, output, filter) {
  from = Math.fround(from), to = Math.fround(to); // Pillow keeps a box in single precision
  const scale = (to - from) / output;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  return Array.from({ length: output }, (_, index) => {
    const centre = from + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(input, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(Math.max(0, last - first));
    let sum = 0;
    for (let at = 0; at < weights.length; at++) {
      sum += weights[at] = filter.weight((at + first - centre + 0.5) / stretch);
    }
    if (sum !== 0) for (let at = 0; at < weights.length; at++) weights[at] /= sum;
    return { first, weights };
  });
}

const whole = (coefficient) => ({
  first: coefficient.first,
  weights: Int32Array.from(coefficient.weights, (weight) => Math.trunc(weight * (1 << PRECISION) + Math.sign(weight) / 2)),
});

/**
 * Resize 8-bit pixels as Pillow's `resize(..., BILINEAR, box=...)` does, bit for bit.
 * `pixels` holds `stride` bytes a pixel, of which the first three are used; `box` is [left, top, right, bottom].
 * Returns a Uint8Array (height, width, 3).
 */
export function resizeBytes(pixels, size, stride, box, target) {
  const [inWidth, inHeight] = size, [outWidth, outHeight] = target;
  const across = coefficients(inWidth, box[0], box[2], outWidth, FILTERS.bilinear).map(whole);
  const down = coefficients(inHeight, box[1], box[3], outHeight, FILTERS.bilinear).map(whole);
  const half = 1 << (PRECISION - 1);
  const top = down[0].first;
  const bottom = down[outHeight - 1].first + down[outHeight - 1].weights.length;
  const narrow = new Uint8Array((bottom - top) * outWidth * 3);
  for (let y = top; y < bottom; y++) {
    for (let x = 0; x < outWidth; x++) {
      const { first, weights } = across[x];
      let red = half, green = half, blue = half;
      let at = (y * inWidth + first) * stride;
      for (let k = 0; k < weights.length; k++, at += stride) {
        red += pixels[at] * weights[k];
        green += pixels[at + 1] * weights[k];
        blue += pixels[at + 2] * weights[k];
      }
      const to = ((y - top) * outWidth + x) * 3;
      narrow[to] = red >> PRECISION, narrow[to + 1] = green >> PRECISION, narrow[to + 2] = blue >> PRECISION;
    }
  }
  const result = new Uint8Array(outWidth * outHeight * 3);
  const row = outWidth * 3;
  for (let y = 0; y < outHeight; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < row; x++) {
      let sum = half;
      for (let k = 0, at = (first - top) * row + x; k < weights.length; k++, at += row) sum += narrow[at] * weights[k];
      result[y * row + x] = sum >> PRECISION;
    }
  }
  return result;
}

/** Reduce floats to grid cells by their mean coverage, as Pillow's `resize(..., BOX, box=...)` of mode F does. */
export function resizeFloats(values, size, box, target) {
  const [inWidth, inHeight] = size, [outWidth, outHeight] = target;
  const across = coefficients(inWidth, box[0], box[2], outWidth, FILTERS.box);
  const down = coefficients(inHeight, box[1], box[3], outHeight, FILTERS.box);
  const narrow = new Float32Array(inHeight * outWidth);
  for (let y = 0; y < inHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += values[y * inWidth + first + k] * weights[k];
      narrow[y * outWidth + x] = sum;
    }
  }
  const result = new Float32Array(outWidth * outHeight);
  for (let y = 0; y < outHeight; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += narrow[(first + k) * outWidth + x] * weights[k];
      result[y * outWidth + x] = sum;
    }
  }
  return result;
}

/**
 * Average blocks of `step` x `step` pixels (RGBA in, RGB out): what decoding a JPEG at a fraction of its size gives.
 * Sizes are rounded up; the last row and column average what there is.
 */
export function reduceBytes(pixels, width, height, step) {
  const outWidth = Math.ceil(width / step), outHeight = Math.ceil(height / step);
  const result = new Uint8Array(outWidth * outHeight * 3);
  const words = new Uint32Array(pixels.buffer, pixels.byteOffset, width * height); // a pixel each, red in the lowest byte
  // red and blue are added together: a block has at most 8 x 8 pixels, whose sums fit 16 bits
  const redBlue = new Uint32Array(outWidth), green = new Uint32Array(outWidth);
  for (let row = 0; row < outHeight; row++) {
    redBlue.fill(0), green.fill(0);
    const last = Math.min(height, (row + 1) * step);
    for (let y = row * step; y < last; y++) {
      for (let x = 0, at = y * width; x < outWidth; x++) {
        const end = y * width + Math.min(width, (x + 1) * step);
        let [both, one] = [0, 0];
        for (; at < end; at++) both += words[at] & 0xff00ff, one += (words[at] >>> 8) & 0xff;
        redBlue[x] += both, green[x] += one;
      }
    }
    for (let x = 0, to = row * outWidth * 3; x < outWidth; x++, to += 3) {
      const count = (Math.min(width, (x + 1) * step) - x * step) * (last - row * step);
      result[to] = Math.round((redBlue[x] & 0xffff) / count);
      result[to + 1] = Math.round(green[x] / count);
      result[to + 2] = Math.round((redBlue[x] >>> 16) / count);
    }
  }
  return { pixels: result, width: outWidth, height: outHeight };
}

function axis(input, output) {
  const low = new Int32Array(output), high = new Int32Array(output), share = new Float64Array(output);
  for (let at = 0; at < output; at++) {
    const source = Math.max(0, ((at + 0.5) * input) / output - 0.5);
    low[at] = Math.min(Math.floor(source), input - 1);
    high[at] = Math.min(low[at] + 1, input - 1);
    share[at] = source - low[at];
  }
  return { low, high, share };
}

/**
 * Interpolate values bilinearly to another size, as PyTorch does with `align_corners=False`, a row at a time.
 * `take(row, y)` is called for each row of the result, or for those from `rows[0]` to before `rows[1]`; the row is reused.
 */
export function interpolate(values, size, target, take, rows = [0, target[1]]) {
  const [width, height] = size, [outWidth, outHeight] = target;
  const across = axis(width, outWidth), down = axis(height, outHeight);
  const narrow = new Float64Array(width), row = new Float32Array(outWidth);
  for (let y = rows[0]; y < rows[1]; y++) {
    const upper = down.low[y] * width, lower = down.high[y] * width, part = down.share[y];
    for (let x = 0; x < width; x++) narrow[x] = values[upper + x] * (1 - part) + values[lower + x] * part;
    for (let x = 0; x < outWidth; x++) {
      const share = across.share[x];
      row[x] = narrow[across.low[x]] * (1 - share) + narrow[across.high[x]] * share;
    }
    take(row, y);
  }
}

/** What lies within [left, top, right, bottom] of floats with `stride` columns. */
export function cut(values, stride, [left, top, right, bottom]) {
  const width = right - left;
  const result = new Float32Array(width * (bottom - top));
  for (let y = top; y < bottom; y++) result.set(values.subarray(y * stride + left, y * stride + right), (y - top) * width);
  return result;
}

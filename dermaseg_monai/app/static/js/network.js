// Engine two's network: from a photo's file to its mask, in a worker, with the arithmetic of `dermaseg predict`.

import { encodeMask, encodePng } from "./files.js";
import { measureMask } from "./measure.js";
import { readPhoto } from "./pictures.js";
import { fillHoles, keepLargest } from "./regions.js";
import { cut, interpolate, reduceBytes, resizeBytes } from "./resample.js";

const LEVELS = 65536; // steps of the table of entropies
const FLIPS = [[false, false], [true, false], [false, true], [true, true]]; // across, down

/** Load the network that `config` (config.json) names. */
export async function openNetwork(runtime, config) {
  return new Network(runtime, await runtime.open("model.onnx"), config);
}

class Network {
  constructor(runtime, session, config) {
    Object.assign(this, { runtime, session, config });
    [this.height, this.width] = config.image_size;
    this.palette = Uint8Array.from(atob(config.palette), (character) => character.charCodeAt(0));
    this.entropies = Float32Array.from({ length: LEVELS }, (_, at) => {
      const chance = Math.min(1 - 1e-7, Math.max(1e-7, this.#tempered(at / (LEVELS - 1))));
      return -(chance * Math.log2(chance) + (1 - chance) * Math.log2(1 - chance));
    });
  }

  /**
   * What the server's interface answers of a photo (see there), with its mask as pixels of 0 and 1, and `grids`, from
   * which `bound` and `heat` make the pictures that it lacks.
   */
  async segment({ file, name }) {
    const photo = await readPhoto(file);
    const { width, height } = photo;
    const { values, place } = this.#input(photo);
    const plain = await this.#probabilities(values);
    const seen = [0, 0]; // confidence: the mean probability over the predicted pixels
    for (const chance of plain) if (chance >= this.config.threshold) seen[0] += this.#tempered(chance), seen[1]++;

    const size = sizeOf(place);
    const chances = cut(plain, this.width, place);
    const mask = within(chances, size, [width, height], (chance) => chance >= this.config.threshold);
    if (this.config.largest_component) keepLargest(mask, width, height);
    if (this.config.fill_holes) fillHoles(mask, width, height);
    const measurements = measureMask(mask, width, height);
    const grids = { plain: chances, views: cut(await this.#views(values, plain), this.width, place), size };
    return {
      name,
      width,
      height,
      bundle: this.config.bundle,
      mask,
      confidence: measurements.area_px ? seen[0] / Math.max(1, seen[1]) : null,
      measurements,
      uncertainty: { mean: this.#meanHeat(grids, mask, width, height) },
      attributes: null,
      bounds: this.config.bounds && {},
      unlikeness: null, // the network's file gives no features
      grids,
    };
  }

  /** The mask within the "inner" or the "outer" outline, as a PNG. */
  bound({ grids, width, height, name }) {
    const [inner, outer] = this.config.bounds;
    const belongs = name === "inner" ? (chance) => chance > inner : (chance) => chance >= outer;
    return encodeMask(within(grids.plain, grids.size, [width, height], belongs), width, height);
  }

  /** The uncertainty as a heat map, a PNG. */
  heat({ grids, width, height }) {
    const levels = new Uint8Array(width * height);
    interpolate(grids.views, grids.size, [width, height], (row, y) => {
      for (let x = 0; x < width; x++) levels[y * width + x] = Math.round(this.#entropy(row[x]) * 255);
    });
    return encodePng(levels, width, height, this.palette);
  }

  /** A probability with its logit divided by the temperature. */
  #tempered(chance) {
    const { temperature } = this.config;
    return temperature === 1 ? chance : 1 / (1 + ((1 - chance) / chance) ** (1 / temperature));
  }

  /** The network's input (3, height, width), and where on it the photo lies. */
  #input(photo) {
    const place = placement(photo, [this.width, this.height], this.config.aspect);
    const [left, top, right, bottom] = place;
    const target = [right - left, bottom - top];
    const step = photo.isJpeg ? reduction(photo, this.config.reduce_to) : 1;
    const box = [0, 0, photo.width / step, photo.height / step];
    let bytes;
    if (step > 1) {
      const reduced = reduceBytes(photo.pixels, photo.width, photo.height, step);
      bytes = resizeBytes(reduced.pixels, [reduced.width, reduced.height], 3, box, target);
    } else {
      bytes = resizeBytes(photo.pixels, [photo.width, photo.height], 4, box, target);
    }
    const { scale, shift } = this.config;
    const area = this.width * this.height;
    const values = new Float32Array(3 * area);
    for (let c = 0; c < 3; c++) {
      const [by, plus] = [Math.fround(scale[c]), Math.fround(shift[c])];
      values.fill(plus, c * area, (c + 1) * area); // padding is black
      for (let y = 0; y < target[1]; y++) {
        const to = c * area + (y + top) * this.width + left;
        for (let x = 0; x < target[0]; x++) values[to + x] = Math.fround(bytes[(y * target[0] + x) * 3 + c] * by) + plus;
      }
    }
    return { values, place };
  }

  async #probabilities(values) {
    const [name] = this.session.inputNames;
    const input = this.runtime.tensor(values, [1, 3, this.height, this.width]);
    const outputs = await this.session.run({ [name]: input });
    const logits = outputs[this.session.outputNames[0]].data;
    const area = this.width * this.height;
    const chances = new Float32Array(area);
    for (let at = 0; at < area; at++) {
      // a softmax over two is a sigmoid of their difference
      const logit = this.config.mode === "two_class" ? logits[area + at] - logits[at] : logits[at];
      chances[at] = 1 / (1 + Math.exp(-logit));
    }
    return chances;
  }

  /** The mean probabilities over the mirrored views, `plain` being those of the view that is not mirrored. */
  async #views(values, plain) {
    const mean = Float64Array.from(plain);
    for (const [across, down] of FLIPS.slice(1)) {
      const view = await this.#probabilities(mirrored(values, this.width, this.height, across, down));
      const back = mirrored(view, this.width, this.height, across, down);
      for (let at = 0; at < mean.length; at++) mean[at] += back[at];
    }
    for (let at = 0; at < mean.length; at++) mean[at] /= FLIPS.length;
    return mean;
  }

  /** The mean uncertainty over the pixels of a mask. */
  #meanHeat(grids, mask, width, height) {
    const first = mask.indexOf(1);
    if (first < 0) return null;
    const rows = [Math.floor(first / width), Math.floor(mask.lastIndexOf(1) / width) + 1];
    let [sum, count] = [0, 0];
    const add = (row, y) => {
      for (let x = 0, at = y * width; x < width; x++, at++) if (mask[at]) sum += this.#entropy(row[x]), count++;
    };
    interpolate(grids.views, grids.size, [width, height], add, rows);
    return sum / count;
  }

  #entropy(chance) {
    return this.entropies[Math.round(chance * (LEVELS - 1))];
  }
}

/** The pixels (0 and 1) of a photo whose interpolated value `belongs`. */
function within(values, size, target, belongs) {
  const [width, height] = target;
  const mask = new Uint8Array(width * height);
  interpolate(values, size, target, (row, y) => {
    for (let x = 0, at = y * width; x < width; x++, at++) mask[at] = belongs(row[x]) ? 1 : 0;
  });
  return mask;
}

/** By how much a JPEG is decoded smaller, as Pillow's draft mode chooses it. */
function reduction({ width, height }, reduceTo) {
  const scale = Math.min(Math.floor(width / reduceTo), Math.floor(height / reduceTo));
  return [8, 4, 2].find((step) => scale >= step) ?? 1;
}

/** [left, top, right, bottom] of the photo on the network's canvas. */
function placement({ width, height }, [canvasWidth, canvasHeight], aspect) {
  if (aspect === "squash") return [0, 0, canvasWidth, canvasHeight];
  const scale = Math.min(canvasHeight / height, canvasWidth / width);
  const side = (full, most) => Math.max(1, Math.min(most, halfEven(full * scale)));
  const [across, down] = [side(width, canvasWidth), side(height, canvasHeight)];
  const [left, top] = [Math.floor((canvasWidth - across) / 2), Math.floor((canvasHeight - down) / 2)];
  return [left, top, left + across, top + down];
}

/** Round as Python does: a half to the even number. */
function halfEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

const sizeOf = ([left, top, right, bottom]) => [right - left, bottom - top];

/** Channels (C, height, width) mirrored across, down, or both. */
function mirrored(values, width, height, across, down) {
  const result = new values.constructor(values.length);
  const area = width * height;
  for (let at = 0; at < values.length; at++) {
    const [x, y] = [at % width, Math.floor((at % area) / width)];
    const from = at - (at % area) + (down ? height - 1 - y : y) * width + (across ? width - 1 - x : x);
    result[at] = values[from];
  }
  return result;
}

// Engine two's network: from a photo's file to its mask, in a worker, with the arithmetic of `dermaseg predict`.

import { Told } from "./calls.js";
import { encodeMask, encodePng } from "./files.js";
import { measureMask } from "./measure.js";
import { MAX_PIXELS } from "./pictures.js";
import { fillHoles, keepLargest } from "./regions.js";
import { interpolate, reduceBytes, resizeBytes } from "./resample.js";

const LEVELS = 65536; // steps of the table of entropies
const FLIPS = [[false, false], [true, false], [false, true], [true, true]]; // across, down

/** Load ONNX Runtime and the network that `config` (config.json) names. */
export async function openNetwork(config) {
  const gpu = config.webgpu && "gpu" in navigator;
  const runtime = new URL(`../runtime/${gpu ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"}`, import.meta.url);
  const ort = await import(runtime);
  ort.env.wasm.wasmPaths = new URL("./", runtime).href;
  // threads share memory, which browsers allow only to pages that are isolated by their server's headers
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const model = new Uint8Array(await (await fetch(new URL("../model.onnx", import.meta.url))).arrayBuffer());
  const session = await ort.InferenceSession.create(model, { executionProviders: gpu ? ["webgpu", "wasm"] : ["wasm"] });
  return new Network(ort, session, config);
}

class Network {
  constructor(ort, session, config) {
    Object.assign(this, { ort, session, config });
    [this.height, this.width] = config.image_size;
    this.palette = Uint8Array.from(atob(config.palette), (character) => character.charCodeAt(0));
    this.entropy = Float32Array.from({ length: LEVELS }, (_, at) => {
      const chance = Math.min(1 - 1e-7, Math.max(1e-7, this.#tempered(at / (LEVELS - 1))));
      return -(chance * Math.log2(chance) + (1 - chance) * Math.log2(1 - chance));
    });
  }

  /** What the server's interface answers of a photo; see there. */
  async segment({ file, name }) {
    const photo = await decode(file);
    const { width, height } = photo;
    const { values, place } = this.#input(photo);
    const plain = await this.#probabilities(values);
    const seen = [0, 0]; // confidence: the mean probability over the predicted pixels
    for (const chance of plain) if (chance >= this.config.threshold) seen[0] += this.#tempered(chance), seen[1]++;

    const mask = new Uint8Array(width * height);
    const { threshold, bounds } = this.config;
    const within = bounds && [new Uint8Array(mask.length), new Uint8Array(mask.length)];
    interpolate(cut(plain, this.width, place), sizeOf(place), [width, height], (row, y) => {
      const to = y * width;
      for (let x = 0; x < width; x++) mask[to + x] = row[x] >= threshold ? 1 : 0;
      if (!bounds) return;
      for (let x = 0; x < width; x++) {
        within[0][to + x] = row[x] > bounds[0] ? 1 : 0;
        within[1][to + x] = row[x] >= bounds[1] ? 1 : 0;
      }
    });
    if (this.config.largest_component) keepLargest(mask, width, height);
    if (this.config.fill_holes) fillHoles(mask, width, height);
    const measurements = measureMask(mask, width, height);
    return {
      name,
      width,
      height,
      bundle: this.config.bundle,
      mask: await encodeMask(mask, width, height),
      confidence: measurements.area_px ? seen[0] / Math.max(1, seen[1]) : null,
      measurements,
      uncertainty: await this.#uncertainty(values, plain, place, mask, width, height),
      attributes: null,
      bounds: within && { inner: await encodeMask(within[0], width, height), outer: await encodeMask(within[1], width, height) },
      unlikeness: null, // the network's file gives no features
    };
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
    const input = new this.ort.Tensor("float32", values, [1, 3, this.height, this.width]);
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

  /** The entropy of the mean over the mirrored views, as a heat map, and its mean over the lesion. */
  async #uncertainty(values, plain, place, mask, width, height) {
    const mean = Float64Array.from(plain);
    for (const [across, down] of FLIPS.slice(1)) {
      const view = await this.#probabilities(mirrored(values, this.width, this.height, across, down));
      const back = mirrored(view, this.width, this.height, across, down);
      for (let at = 0; at < mean.length; at++) mean[at] += back[at];
    }
    for (let at = 0; at < mean.length; at++) mean[at] /= FLIPS.length;
    const levels = new Uint8Array(width * height);
    let [sum, count] = [0, 0];
    interpolate(cut(mean, this.width, place), sizeOf(place), [width, height], (row, y) => {
      const to = y * width;
      for (let x = 0; x < width; x++) {
        const heat = this.entropy[Math.round(row[x] * (LEVELS - 1))];
        levels[to + x] = Math.round(heat * 255);
        if (mask[to + x]) sum += heat, count++;
      }
    });
    return { map: await encodePng(levels, width, height, this.palette), mean: count ? sum / count : null };
  }
}

/** The photo's pixels (RGBA), upright, on white where it is transparent. */
async function decode(file) {
  const head = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  let bitmap, pen;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Told("unreadable");
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new Told("too_many_pixels", { width, height, count: MAX_PIXELS });
  pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const isJpeg = head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff;
  return { pixels: pen.getImageData(0, 0, width, height).data, width, height, isJpeg };
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

function cut(values, stride, [left, top, right, bottom]) {
  const width = right - left;
  const result = new Float32Array(width * (bottom - top));
  for (let y = top; y < bottom; y++) result.set(values.subarray(y * stride + left, y * stride + right), (y - top) * width);
  return result;
}

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

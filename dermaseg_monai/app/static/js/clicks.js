// Clicks without a server: a promptable network answers them in a worker, with the arithmetic of `PromptSession`.

import { readPhoto } from "./pictures.js";
import { cut, interpolate, resizeBytes } from "./resample.js";

const KEPT = 8; // photos whose embeddings are kept, 4 MB each
const [ON, BESIDE, NONE] = [1, 0, -1]; // labels of points

export class Clicks {
  /** `config` says the side of the network's square input, its normalisation and the threshold. */
  constructor(runtime, config) {
    Object.assign(this, { runtime, config });
    this.square = Array(2).fill(config.side / config.mask_factor); // of the decoder's masks
    this.noMask = runtime.tensor(new Float32Array(this.square[0] ** 2), [1, 1, ...this.square]);
    this.photos = new Map();
  }

  /**
   * Add what `points` ([x, y, 1 or 0], in pixels of the photo) point at to a mask (pixels of 0 and 1), or take it away
   * where all of them are 0. By its `id` the photo's embedding is kept.
   */
  async refine({ id, file, mask, points }) {
    const { width, height, place, embedding } = await this.#photo(id, file);
    const removes = points.every(([, , label]) => label === BESIDE);
    const asked = points.map(([x, y, label]) => [x * (place[0] / width), y * (place[1] / height), removes ? ON : label]);
    asked.push([0, 0, NONE]); // there is no box
    const { logits } = await (await this.#network("decoder")).run({
      embedding,
      points: this.runtime.tensor(asked.flatMap(([x, y]) => [x, y]), [1, asked.length, 2]),
      labels: this.runtime.tensor(asked.map(([, , label]) => label), [1, asked.length]),
      mask: this.noMask,
      has_mask: this.runtime.tensor([0], [1]),
    });
    this.#atPhoto(logits.data, place, [width, height], (at) => (mask[at] = removes ? 0 : 1));
    return { mask };
  }

  /** Call `take` with each pixel of the photo that belongs to the answer. */
  #atPhoto(logits, place, size, take) {
    const { side, threshold } = this.config;
    const chances = new Float32Array(side * side);
    interpolate(logits, this.square, [side, side], (row, y) => {
      for (let x = 0; x < side; x++) chances[y * side + x] = 1 / (1 + Math.exp(-row[x]));
    });
    interpolate(cut(chances, side, [0, 0, ...place]), place, size, (row, y) => {
      for (let x = 0; x < size[0]; x++) if (row[x] >= threshold) take(y * size[0] + x);
    });
  }

  /** A photo's size, what it takes of the input, and its embedding, computed at the first click. */
  async #photo(id, file) {
    const known = this.photos.get(id) ?? (await this.#embedded(file));
    this.photos.delete(id);
    this.photos.set(id, known); // the one used longest ago comes first
    if (this.photos.size > KEPT) this.photos.delete(this.photos.keys().next().value);
    return known;
  }

  async #embedded(file) {
    const { pixels, width, height } = await readPhoto(file);
    const { side, mean, std } = this.config;
    const scale = side / Math.max(width, height);
    const place = [width, height].map((length) => Math.max(1, Math.floor(length * scale + 0.5)));
    const bytes = resizeBytes(pixels, [width, height], 4, [0, 0, width, height], place);
    const values = new Float32Array(3 * side * side); // beyond the photo all is 0
    for (let c = 0; c < 3; c++) {
      const [minus, by] = [Math.fround(mean[c]), Math.fround(std[c])];
      for (let y = 0; y < place[1]; y++) {
        const to = (c * side + y) * side;
        for (let x = 0; x < place[0]; x++) values[to + x] = Math.fround(bytes[(y * place[0] + x) * 3 + c] - minus) / by;
      }
    }
    const image = this.runtime.tensor(values, [1, 3, side, side]);
    const { embedding } = await (await this.#network("encoder")).run({ image });
    return { width, height, place, embedding };
  }

  /** One of the two networks; 20 MB that only clicks need are loaded at the first of them. */
  #network(name) {
    this[name] ??= this.runtime.open(`clicks/${name}.onnx`);
    return this[name];
  }
}

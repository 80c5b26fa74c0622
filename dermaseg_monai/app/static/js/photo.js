// One photo: its file, the engine's answer, the mask as it was corrected, and how to undo that.

import { encodeMask, safeStem } from "./files.js";
import { traceOutlines } from "./outline.js";
import { pixelsOf, readMask, showable } from "./pictures.js";

const MOST_STEPS = 60;
let count = 0;

export class Photo {
  constructor(file, taken) {
    this.id = ++count;
    this.file = file;
    this.name = file.name;
    this.stem = free(safeStem(file.name), taken);
    this.state = "waiting";
    this.scale = null; // pixels per mm
    this.bitmap = null;
    this.forget();
  }

  /** Back to before the engine's answer. */
  forget() {
    this.answer = null;
    this.mask = this.loops = null;
    this.measurements = null;
    this.past = [];
    this.future = [];
    this.beyond = false; // whether there were more steps than are kept
  }

  get corrected() {
    return this.beyond || this.past.length > 0;
  }

  /** Take over an engine's answer, whose mask is a PNG or the pixels. */
  async take(answer) {
    this.answer = answer;
    [this.width, this.height] = [answer.width, answer.height];
    if (!this.bitmap) this.bitmap = (await showable(answer.preview)).bitmap;
    this.measurements = answer.measurements;
    await this.#original();
    this.state = "done";
  }

  /** The mask's pixels, which only the photo that is looked at keeps. */
  async pixels() {
    this.mask ??= await readMask(this.png);
    return this.mask;
  }

  /** Let go of the pixels. */
  async rest() {
    const png = await this.picture();
    const { mask } = this.answer;
    if (!this.corrected) this.answer.mask = png;
    else if (!(mask instanceof Blob)) this.answer.mask = await encodeMask(mask, this.width, this.height);
    this.mask = null;
  }

  /** The mask as PNG. */
  async picture() {
    this.png ??= await encodeMask(this.mask, this.width, this.height);
    return this.png;
  }

  /** Change the mask; false where nothing changes. */
  change(mask) {
    const step = difference(this.mask, mask, this.width, this.height);
    if (!step) return false;
    this.past.push(step);
    if (this.past.length > MOST_STEPS) this.past.shift(), (this.beyond = true);
    this.future = [];
    this.#set(mask);
    return true;
  }

  undo() {
    this.#step(this.past, this.future, "before");
  }

  redo() {
    this.#step(this.future, this.past, "after");
  }

  /** Back to the network's mask. */
  async reset() {
    this.past = [];
    this.future = [];
    this.beyond = false;
    this.measurements = this.answer.measurements;
    await this.#original();
  }

  async #original() {
    const { mask } = this.answer;
    this.png = mask instanceof Blob ? mask : null;
    this.mask = await pixelsOf(mask);
    this.loops = traceOutlines(this.mask, this.width, this.height);
  }

  #step(from, to, side) {
    const step = from.pop();
    if (!step) return;
    to.push(step);
    const mask = this.mask.slice();
    step[side].forEach((row, at) => mask.set(row, (step.top + at) * this.width + step.left));
    this.#set(mask);
    if (!this.corrected) this.measurements = this.answer.measurements;
  }

  #set(mask) {
    this.mask = mask;
    this.png = null;
    this.measurements = null;
    this.loops = traceOutlines(mask, this.width, this.height);
  }
}

/** Where two masks differ: rows of both, within the box around the differences. */
function difference(before, after, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (before[at] === after[at]) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  if (left >= right) return null;
  const rows = (mask) =>
    Array.from({ length: bottom - top }, (_, at) => mask.slice((top + at) * width + left, (top + at) * width + right));
  return { left, top, before: rows(before), after: rows(after) };
}

function free(stem, taken) {
  let name = stem;
  for (let count = 2; taken.has(name.toLowerCase()); count++) name = `${stem}-${count}`;
  return name;
}

// What a press on the photo does: brush, eraser, points, clicks, ruler.

import { fillLoops, handlesOf, moveHandle, signedArea } from "./outline.js";

export class Pens {
  /** `host` has `photo`, and takes `changed(mask)`, `clicked(point, label)` and `ruled(line)`. */
  constructor(host) {
    this.host = host;
    this.name = "move";
    this.size = 24; // of the brush, in pixels of the screen
    this.line = null;
    this.cancel();
  }

  get active() {
    return this.name !== "move";
  }

  /** Whether a press alone is all. */
  get clicks() {
    return this.name === "add" || this.name === "remove";
  }

  choose(name) {
    this.cancel();
    this.name = name;
    if (name !== "ruler") this.line = null;
    this.refresh();
  }

  /** The outline is another one: find its handles again. */
  refresh() {
    this.handles = null;
    const { photo } = this.host;
    if (this.name !== "points" || !photo?.loops?.length) return;
    const areas = photo.loops.map(signedArea);
    const at = areas.indexOf(Math.max(...areas));
    const tolerance = Math.max(0.75, Math.sqrt(areas[at] / 2) * 0.025);
    this.handles = { at, kept: handlesOf(photo.loops[at], tolerance) };
  }

  down(point, scale) {
    this.scale = scale;
    if (this.name === "brush" || this.name === "erase") this.stroke = [point];
    if (this.name === "ruler") this.line = [point, point];
    if (this.clicks) this.host.clicked(point, this.name === "add" ? 1 : 0);
    if (this.name === "points" && this.handles) {
      const loop = this.host.photo.loops[this.handles.at];
      const away = (index) => Math.hypot(loop[index][0] - point[0], loop[index][1] - point[1]);
      const nearest = this.handles.kept.reduce((one, other) => (away(other) < away(one) ? other : one));
      if (away(nearest) * scale < 26) this.dragged = { handle: nearest, from: point, to: point };
    }
  }

  move(point) {
    this.over = point;
    if (this.stroke) this.stroke.push(point);
    if (this.line && this.name === "ruler") this.line[1] = point;
    if (this.dragged) this.dragged.to = point;
  }

  up() {
    const { photo } = this.host;
    const { stroke, dragged } = this;
    this.stroke = this.dragged = null;
    if (stroke) this.host.changed(painted(photo, stroke, this.size / 2 / this.scale, this.name === "brush" ? 1 : 0));
    if (dragged) this.host.changed(fillLoops(this.#bent(dragged), photo.width, photo.height));
    if (this.name === "ruler" && this.line) {
      const [[x, y], [endX, endY]] = this.line;
      const length = Math.hypot(endX - x, endY - y);
      if (length * this.scale < 4) this.line = null;
      this.host.ruled(this.line && length);
    }
  }

  cancel() {
    this.stroke = this.dragged = this.over = null;
  }

  hover(point) {
    this.over = point;
  }

  draw(pen, unit) {
    if (this.stroke) {
      pen.lineCap = pen.lineJoin = "round";
      pen.lineWidth = this.size / this.scale;
      pen.strokeStyle = this.name === "brush" ? "rgb(94 234 212 / 55%)" : "rgb(255 120 110 / 60%)";
      pen.beginPath();
      this.stroke.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (this.stroke.length === 1) pen.lineTo(this.stroke[0][0] + 0.01, this.stroke[0][1]);
      pen.stroke();
    }
    if ((this.name === "brush" || this.name === "erase") && this.over) {
      const radius = this.stroke ? this.size / 2 / this.scale : (this.size / 2) * unit;
      ring(pen, this.over, radius, unit);
    }
    if (this.handles) this.#drawHandles(pen, unit);
    if (this.line) this.#drawLine(pen, unit);
  }

  #bent({ handle, from, to }) {
    const loops = this.host.photo.loops.slice();
    const by = [to[0] - from[0], to[1] - from[1]];
    loops[this.handles.at] = moveHandle(loops[this.handles.at], this.handles.kept, handle, by);
    return loops;
  }

  #drawHandles(pen, unit) {
    const loop = (this.dragged ? this.#bent(this.dragged) : this.host.photo.loops)[this.handles.at];
    if (this.dragged) {
      pen.strokeStyle = "#fff";
      pen.lineWidth = 1.5 * unit;
      pen.beginPath();
      loop.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      pen.stroke();
    }
    for (const index of this.handles.kept) {
      const [x, y] = loop[index];
      pen.beginPath();
      pen.arc(x, y, 5 * unit, 0, 2 * Math.PI);
      pen.fillStyle = index === this.dragged?.handle ? "#fbbf24" : "#fff";
      pen.fill();
      pen.lineWidth = 2 * unit;
      pen.strokeStyle = "#0f766e";
      pen.stroke();
    }
  }

  #drawLine(pen, unit) {
    const [[x, y], [endX, endY]] = this.line;
    for (const [colour, thick] of [["rgb(0 0 0 / 65%)", 5], ["#fde047", 2.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = thick * unit;
      pen.lineCap = "butt";
      pen.beginPath();
      pen.moveTo(x, y), pen.lineTo(endX, endY);
      const length = Math.hypot(endX - x, endY - y) || 1;
      const [acrossX, acrossY] = [((y - endY) / length) * 8 * unit, ((endX - x) / length) * 8 * unit];
      for (const [atX, atY] of this.line) {
        pen.moveTo(atX - acrossX, atY - acrossY), pen.lineTo(atX + acrossX, atY + acrossY);
      }
      pen.stroke();
    }
  }
}

function ring(pen, [x, y], radius, unit) {
  for (const [colour, thick] of [["rgb(0 0 0 / 60%)", 3], ["#fff", 1.25]]) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.strokeStyle = colour;
    pen.lineWidth = thick * unit;
    pen.stroke();
  }
}

/** The photo's mask after a stroke of a round brush: its pixels become `value`. */
export function painted({ mask, width, height }, stroke, radius, value) {
  const result = mask.slice();
  const stamp = (x, y) => {
    const last = Math.min(height - 1, Math.floor(y + radius - 0.5));
    for (let row = Math.max(0, Math.ceil(y - radius - 0.5)); row <= last; row++) {
      const half = Math.sqrt(Math.max(0, radius ** 2 - (row + 0.5 - y) ** 2));
      const from = Math.max(0, Math.ceil(x - half - 0.5)), to = Math.min(width, Math.floor(x + half - 0.5) + 1);
      if (from < to) result.fill(value, row * width + from, row * width + to);
    }
  };
  let [x, y] = stroke[0];
  stamp(x, y);
  for (const [nextX, nextY] of stroke.slice(1)) {
    const steps = Math.ceil(Math.hypot(nextX - x, nextY - y) / Math.max(0.5, radius / 4));
    for (let at = 1; at <= steps; at++) stamp(x + ((nextX - x) * at) / steps, y + ((nextY - y) * at) / steps);
    [x, y] = [nextX, nextY];
  }
  return result;
}

// The stage: a photo and what lies on it, in one or two panes that zoom and pan together.

import { h } from "./dom.js";
import { pathOf, strokeOutline } from "./pictures.js";

const MOST_ZOOM = 40; // pixels of the screen for one of the photo
const MARGIN = 12;

export class Viewer {
  /** `pens` hears of presses, moves and releases in the photo's coordinates. */
  constructor(pens) {
    this.pens = pens;
    this.canvas = h("canvas", { tabindex: "0", role: "application" });
    this.second = h("canvas", { "aria-hidden": "true" });
    this.element = h("div", { class: "panes" }, h("div", { class: "pane" }, this.canvas), h("div", { class: "pane beside" }, this.second));
    this.view = { scale: 1, x: 0, y: 0 };
    this.photo = null;
    this.beside = null;
    this.opacity = 1;
    this.cursor = null; // of the keyboard, in the photo's coordinates
    this.pressed = false;
    this.pointers = new Map();
    this.fitted = true;
    new ResizeObserver(() => this.#resized()).observe(this.canvas.parentElement);
    for (const canvas of [this.canvas, this.second]) this.#listen(canvas);
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#release());
  }

  /** Show a photo; `beside` draws the second pane, in the photo's coordinates, or is null. */
  show(photo, beside = null) {
    const other = photo !== this.photo;
    this.photo = photo;
    this.beside = beside;
    this.element.classList.toggle("two", beside !== null);
    if (other) this.cursor = null, (this.pressed = false);
    this.#resized();
    if (other) this.fit();
    this.outlineChanged();
  }

  /** The outline is another one. */
  outlineChanged() {
    this.path = this.photo?.loops ? pathOf(this.photo.loops) : null;
    this.draw();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.photo?.width || !width) return;
    const scale = Math.min((width - 2 * MARGIN) / this.photo.width, (height - 2 * MARGIN) / this.photo.height);
    this.view = { scale, x: (width - this.photo.width * scale) / 2, y: (height - this.photo.height * scale) / 2 };
    this.smallest = Math.min(scale, 1);
    this.fitted = true;
    this.#changed();
  }

  /** Zoom by a factor around a place of the canvas, its middle by default. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(MOST_ZOOM, Math.max(this.smallest / 2, this.view.scale * factor));
    const by = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by };
    this.fitted = false;
    this.#changed();
  }

  pan(x, y) {
    this.view.x += x, this.view.y += y;
    this.fitted = false;
    this.#changed();
  }

  toPhoto(x, y) {
    return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale];
  }

  draw() {
    this.queued ??= requestAnimationFrame(() => {
      this.queued = null;
      this.#paint();
    });
  }

  #changed() {
    this.onview?.();
    this.draw();
  }

  #resized() {
    for (const canvas of [this.canvas, this.second]) {
      canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
      canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
    }
    if (this.fitted) this.fit();
    this.draw();
  }

  #paint() {
    const pen = this.#opened(this.canvas);
    if (!this.photo?.bitmap) return;
    const unit = 1 / this.view.scale;
    this.#picture(pen);
    if (this.path && this.opacity > 0) {
      pen.globalAlpha = this.opacity * 0.12;
      pen.fillStyle = "#5eead4";
      pen.fill(this.path, "evenodd");
      pen.globalAlpha = this.opacity;
      strokeOutline(pen, this.path, unit);
      pen.globalAlpha = 1;
    }
    this.pens.draw(pen, unit);
    if (this.cursor && document.activeElement === this.canvas) this.#crosshair(pen, unit);
    if (this.beside) {
      const other = this.#opened(this.second);
      this.beside(other, unit, () => this.#picture(other));
    }
  }

  #opened(canvas) {
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const ratio = devicePixelRatio;
    pen.setTransform(ratio * this.view.scale, 0, 0, ratio * this.view.scale, ratio * this.view.x, ratio * this.view.y);
    return pen;
  }

  #picture(pen) {
    const { bitmap, width, height } = this.photo;
    // whole pixels where they can be told apart
    pen.imageSmoothingEnabled = (this.view.scale * width) / bitmap.width < 4;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, width, height);
  }

  #crosshair(pen, unit) {
    const [x, y] = this.cursor;
    for (const [colour, thick] of [["rgb(0 0 0 / 70%)", 4], ["#fff", 1.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = thick * unit;
      pen.beginPath();
      pen.moveTo(x - 12 * unit, y), pen.lineTo(x + 12 * unit, y);
      pen.moveTo(x, y - 12 * unit), pen.lineTo(x, y + 12 * unit);
      pen.stroke();
    }
  }

  #listen(canvas) {
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.photo?.width) return;
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      if (this.pointers.size === 2) {
        this.pens.cancel(); // a second finger zooms
        this.drawing = false;
      } else if (this.pointers.size === 1) {
        this.drawing = canvas === this.canvas && event.button === 0 && this.pens.active;
        if (this.drawing) this.pens.down(this.toPhoto(...place(event)), this.view.scale);
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      const before = this.pointers.get(event.pointerId);
      if (!before) {
        this.pens.hover(canvas === this.canvas ? this.toPhoto(x, y) : null);
        this.draw();
        return;
      }
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      this.pointers.set(event.pointerId, [x, y]);
      if (other) {
        const spread = (from) => Math.max(1, Math.hypot(from[0] - other[0], from[1] - other[1]));
        this.pan((x - before[0]) / 2, (y - before[1]) / 2);
        this.zoom(spread([x, y]) / spread(before), (x + other[0]) / 2, (y + other[1]) / 2);
      } else if (this.drawing) {
        for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
          this.pens.move(this.toPhoto(...place(one)));
        }
        this.draw();
      } else {
        this.pan(x - before[0], y - before[1]);
      }
    });
    const end = (event) => {
      if (!this.pointers.delete(event.pointerId) || !this.drawing) return;
      this.drawing = false;
      if (event.type === "pointerup") this.pens.up();
      else this.pens.cancel();
      this.draw();
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => {
      this.pens.hover(null);
      this.draw();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!this.photo?.width) return;
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...place(event));
      },
      { passive: false },
    );
  }

  #key(event) {
    if (!this.photo?.width || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const done = () => event.preventDefault();
    if (event.ctrlKey || event.metaKey) return;
    if (event.key === "+" || event.key === "=") return done(), this.zoom(1.25);
    if (event.key === "-") return done(), this.zoom(0.8);
    if (event.key === "0") return done(), this.fit();
    if (event.key === "Escape") return this.#release(true);
    if (arrow && !this.pens.active) return done(), this.pan(-40 * arrow[0], -40 * arrow[1]);
    if (arrow) return done(), this.#step(arrow, event.shiftKey ? 1 : 8);
    if ((event.key === " " || event.key === "Enter") && this.pens.active) {
      done();
      if (event.repeat) return;
      this.cursor ??= [this.photo.width / 2, this.photo.height / 2];
      this.pressed = !this.pressed;
      if (this.pressed) this.pens.down(this.cursor, this.view.scale);
      else this.pens.up();
      this.onpress?.(this.pressed, this.cursor);
      if (this.pressed && this.pens.clicks) {
        this.pressed = false;
        this.pens.up();
      }
      this.draw();
    }
  }

  #step([x, y], pixels) {
    const by = pixels / this.view.scale;
    const from = this.cursor ?? [this.photo.width / 2, this.photo.height / 2];
    const keep = (value, most) => Math.min(most, Math.max(0, value));
    this.cursor = [keep(from[0] + x * by, this.photo.width), keep(from[1] + y * by, this.photo.height)];
    if (this.pressed) this.pens.move(this.cursor);
    else this.pens.hover(this.cursor);
    this.draw();
  }

  #release(cancelled = false) {
    if (!this.pressed && !this.drawing) return;
    this.pressed = this.drawing = false;
    if (cancelled) this.pens.cancel();
    else this.pens.up();
    this.draw();
  }
}

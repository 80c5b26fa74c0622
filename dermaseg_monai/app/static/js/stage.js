// The stage with its tools: what is looked at, and what corrects it.

import { attributeOutlines, named } from "./attributes.js";
import { boundOutlines } from "./bounds.js";
import { h, icon, number, parsedNumber, say, t } from "./dom.js";
import { Pens } from "./pens.js";
import { madePicture, pathOf, strokeOutline } from "./pictures.js";
import { Viewer } from "./viewer.js";

const KEYS = { v: "move", b: "brush", e: "erase", p: "points", a: "add", x: "remove", r: "ruler" };

export class Stage {
  /** `host` hears `onchange(photo)`, `onclick(photo, points)` and `onscale(photo, pixelsPerMm)`. */
  constructor(element, host, { refine }) {
    this.host = host;
    this.photo = null;
    this.besideName = "nothing";
    this.pens = new Pens(this);
    this.viewer = new Viewer(this.pens);
    this.viewer.onview = () => this.#zoomed();
    this.viewer.onpress = (pressed, [x, y]) =>
      (this.live.textContent = t(pressed ? "pressed" : "released", { x: Math.round(x), y: Math.round(y) }));
    const tools = ["move", "brush", "erase", "points", ...(refine ? ["add", "remove"] : []), "ruler"];
    this.tools = new Map(tools.map((name) => [name, this.#button(name, `tool_${name}`, () => this.choose(name))]));
    this.undo = this.#button("undo", "undo", () => this.#travel("undo"));
    this.redo = this.#button("redo", "redo", () => this.#travel("redo"));
    this.reset = this.#button("reset", "reset", () => this.#travel("reset"));
    this.level = h("output", { class: "level" });
    const zoom = [
      this.#button("minus", "zoom_out", () => this.viewer.zoom(0.8)),
      this.level,
      this.#button("plus", "zoom_in", () => this.viewer.zoom(1.25)),
      this.#button("fit", "zoom_fit", () => this.viewer.fit()),
    ];
    this.size = h("input", { type: "range", min: "4", max: "160", value: "24", oninput: () => this.#sized() });
    this.sizeField = h("label", { class: "slider" }, h("span", {}, t("brush_size")), this.size);
    const opacity = h("input", { type: "range", min: "0", max: "100", value: "100" });
    opacity.addEventListener("input", () => {
      this.viewer.opacity = Number(opacity.value) / 100;
      this.viewer.draw();
    });
    this.besides = h("fieldset", { class: "segments" }, h("legend", {}, t("beside")));
    this.legend = h("p", { class: "legend" });
    this.popover = h("form", { class: "popover", hidden: true, onsubmit: (event) => this.#scaled(event) });
    this.live = h("p", { class: "unseen", role: "status" });
    this.viewer.element.append(this.popover);
    element.append(
      h("div", { class: "toolbar", role: "toolbar", "aria-label": t("tools") },
        h("div", { class: "group" }, ...this.tools.values()),
        h("div", { class: "group" }, this.undo, this.redo, this.reset),
        h("div", { class: "group" }, ...zoom)),
      this.viewer.element,
      h("div", { class: "controls" },
        this.sizeField,
        h("label", { class: "slider" }, h("span", {}, t("opacity")), opacity),
        this.besides,
        this.legend),
      this.live,
    );
    element.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => element.offsetParent && this.#history(event));
    this.choose("move");
  }

  /** Show a photo, or that there is none. */
  async show(photo) {
    if (photo !== this.photo) this.pens.line = null, this.#ruler(null);
    this.photo = photo;
    this.pens.refresh();
    this.#offer();
    this.#describe();
    const beside = await this.#beside();
    if (photo !== this.photo) return;
    if (photo?.width) this.viewer.element.style.setProperty("--aspect", photo.width / photo.height);
    this.viewer.show(photo, beside);
    this.#states();
  }

  choose(name) {
    this.pens.choose(name);
    for (const [other, button] of this.tools) button.setAttribute("aria-pressed", String(other === name));
    this.sizeField.hidden = name !== "brush" && name !== "erase";
    this.viewer.canvas.dataset.tool = name;
    if (name === "ruler") this.#ruler(undefined);
    else this.popover.hidden = true;
    this.#describe();
    this.viewer.draw();
  }

  // what the pens say

  changed(mask) {
    if (this.photo?.state !== "done" || !this.photo.change(mask)) return;
    this.#after();
  }

  clicked([x, y], label) {
    const { photo } = this;
    if (photo?.state !== "done" || x < 0 || y < 0 || x >= photo.width || y >= photo.height) return;
    this.host.onclick(photo, [[x, y, label]]);
  }

  ruled(length) {
    this.#ruler(length);
  }

  async #travel(way) {
    if (this.photo?.state !== "done" || this.pens.stroke || this.pens.dragged) return;
    await this.photo[way]();
    this.#after();
  }

  #after() {
    this.pens.refresh();
    this.viewer.outlineChanged();
    if (this.besideName === "mask") this.show(this.photo);
    this.#states();
    this.host.onchange(this.photo);
  }

  #states() {
    const done = this.photo?.state === "done";
    this.undo.disabled = !done || !this.photo.past.length;
    this.redo.disabled = !done || !this.photo.future.length;
    this.reset.disabled = !done || !this.photo.corrected;
    for (const [name, button] of this.tools) button.disabled = !done && name !== "move";
    if (document.activeElement?.disabled) this.viewer.canvas.focus(); // the keyboard goes on from there
  }

  #button(picture, key, act) {
    return h("button", { type: "button", class: "tool", title: t(key), "aria-label": t(key), onclick: act }, icon(picture));
  }

  #sized() {
    this.pens.size = Number(this.size.value);
    this.viewer.draw();
  }

  #zoomed() {
    this.level.textContent = t("zoom_level", { percent: number(this.viewer.view.scale * 100) });
    this.viewer.canvas.classList.toggle("whole", this.viewer.fitted);
  }

  #describe() {
    const tool = t(`tool_${this.pens.name}`);
    const text = this.photo ? t("viewer", { name: this.photo.name, tool }) : "";
    this.viewer.canvas.setAttribute("aria-label", this.pens.active ? `${text} ${t("viewer_keys")}` : text);
  }

  #offer() {
    const { answer } = this.photo ?? {};
    const names = ["nothing", "photo", "mask"];
    if (answer?.uncertainty) names.push("uncertainty");
    if (answer?.bounds) names.push("bounds");
    if (answer?.attributes) names.push("attributes");
    const shown = names.includes(this.besideName) ? this.besideName : "nothing";
    const choices = names.map((name) => {
      const input = h("input", { type: "radio", name: "beside", value: name, checked: name === shown });
      input.addEventListener("change", () => {
        this.besideName = name;
        this.show(this.photo);
      });
      return h("label", {}, input, h("span", {}, t(`beside_${name}`)));
    });
    const focused = this.besides.contains(document.activeElement);
    this.besides.replaceChildren(this.besides.firstChild, ...choices);
    if (focused) this.besides.querySelector(":checked").focus();
  }

  /** What draws the second pane, or null. */
  async #beside() {
    const { photo } = this;
    this.legend.replaceChildren();
    if (photo?.state !== "done") return null;
    if (this.besideName === "photo") return (pen, unit, picture) => picture();
    if (this.besideName === "mask") {
      const path = pathOf(photo.loops);
      return (pen) => {
        pen.fillStyle = "#000";
        pen.fillRect(0, 0, photo.width, photo.height);
        pen.fillStyle = "#fff";
        pen.fill(path, "evenodd");
      };
    }
    if (this.besideName === "uncertainty" && photo.answer.uncertainty) {
      photo.answer.heat ??= await createImageBitmap(await madePicture(photo.answer.uncertainty.map));
      const path = pathOf(photo.loops);
      this.legend.append(h("span", { class: "heat" }), t("legend_uncertainty"));
      return (pen, unit) => {
        pen.drawImage(photo.answer.heat, 0, 0, photo.width, photo.height);
        strokeOutline(pen, path, unit * 0.75);
      };
    }
    const traced = { attributes: attributeOutlines, bounds: boundOutlines }[this.besideName];
    if (traced && photo.answer[this.besideName]) {
      const outlines = await traced(photo);
      const paths = outlines.map(({ loops, colour }) => [pathOf(loops), colour]);
      const swatch = (colour) => {
        const mark = h("i", {});
        mark.style.background = colour;
        return mark;
      };
      this.legend.append(
        ...outlines.map(({ name, colour }) => h("span", { class: "key" }, swatch(colour), named(name))),
        ...(outlines.length ? [] : [t("legend_none")]),
      );
      return (pen, unit, picture) => {
        picture();
        for (const [path, colour] of paths) strokeOutline(pen, path, unit, colour);
      };
    }
    return null;
  }

  /** Ask for the length of the ruler's line; undefined says how to draw one, null hides all of it. */
  #ruler(length) {
    this.popover.hidden = length === null && this.pens.name !== "ruler";
    if (this.popover.hidden) return;
    if (!length) {
      this.popover.replaceChildren(h("p", {}, t("ruler_hint")));
      return;
    }
    const input = h("input", { id: "length", inputmode: "decimal", autocomplete: "off", size: "6" });
    this.length = { length, input };
    this.popover.replaceChildren(
      h("label", { for: "length" }, t("ruler_length", { pixels: number(length) })),
      h("div", { class: "row" }, input, h("button", { class: "primary" }, t("ruler_use"))),
    );
    input.focus();
  }

  #scaled(event) {
    event.preventDefault();
    const millimetres = parsedNumber(this.length.input.value);
    if (!millimetres) {
      this.length.input.setAttribute("aria-invalid", "true");
      say(t("scale_bad"));
      return;
    }
    this.host.onscale(this.photo, this.length.length / millimetres);
    this.choose("move");
    this.viewer.canvas.focus();
  }

  #history(event) {
    if (event.altKey || !(event.ctrlKey || event.metaKey) || inField(event)) return;
    const key = event.key.toLowerCase();
    const way = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
    if (!way) return;
    event.preventDefault();
    this.#travel(way);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || inField(event)) return;
    const name = KEYS[event.key.toLowerCase()];
    if (this.tools.has(name) && !this.tools.get(name).disabled) this.choose(name);
    const step = { "[": -4, "]": 4 }[event.key];
    if (step) this.size.value = String(Number(this.size.value) + step), this.#sized();
  }
}

const inField = ({ target }) => target.matches("input:not([type=range], [type=radio], [type=checkbox]), select");

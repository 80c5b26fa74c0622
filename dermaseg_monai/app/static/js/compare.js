// Two photos of one lesion over time: measurements with their change, outlines laid over each other.

import { h, icon, number, percent, t } from "./dom.js";
import { fillLoops } from "./outline.js";
import { pathOf, strokeOutline } from "./pictures.js";

const EARLIER = "#fbbf24", LATER = "#5eead4";
const GRID = 160; // pixels of the picture by which overlaps are counted

/** Centroid and direction of the longest axis of what loops enclose. */
export function moments(loops) {
  let [area, x, y, xx, yy, xy] = [0, 0, 0, 0, 0, 0];
  for (const loop of loops) {
    loop.forEach(([ax, ay], at) => {
      const [bx, by] = loop[(at + 1) % loop.length];
      const cross = ax * by - bx * ay;
      area += cross / 2;
      x += ((ax + bx) * cross) / 6, y += ((ay + by) * cross) / 6;
      xx += ((ax * ax + ax * bx + bx * bx) * cross) / 12;
      yy += ((ay * ay + ay * by + by * by) * cross) / 12;
      xy += ((ax * by + 2 * ax * ay + 2 * bx * by + bx * ay) * cross) / 24;
    });
  }
  x /= area, y /= area;
  const angle = Math.atan2(2 * (xy / area - x * y), xx / area - x * x - (yy / area - y * y)) / 2;
  return { x, y, angle };
}

/** Points of the later photo in the frame of the earlier one, by a place {x, y, turn, size} and its own middle. */
export function placed(loops, middle, { x, y, turn, size }) {
  const [cosine, sine] = [Math.cos(turn) * size, Math.sin(turn) * size];
  return loops.map((loop) =>
    loop.map(([px, py]) => {
      const [dx, dy] = [px - middle.x, py - middle.y];
      return [x + cosine * dx - sine * dy, y + sine * dx + cosine * dy];
    }),
  );
}

/** The Dice coefficient of what two lists of loops enclose, in a frame of that size. */
export function overlap(one, other, width, height) {
  const scale = GRID / Math.max(width, height);
  const small = (loops) => loops.map((loop) => loop.map(([x, y]) => [x * scale, y * scale]));
  const [columns, rows] = [Math.ceil(width * scale), Math.ceil(height * scale)];
  const [a, b] = [fillLoops(small(one), columns, rows), fillLoops(small(other), columns, rows)];
  let [both, sum] = [0, 0];
  for (let at = 0; at < a.length; at++) both += a[at] & b[at], (sum += a[at] + b[at]);
  return sum ? (2 * both) / sum : 0;
}

/** Where the later outline lies best on the earlier one: middle on middle, turned by its longest axis or not. */
export function register(earlier, later, size) {
  const from = moments(earlier.loops), to = moments(later.loops);
  const turned = from.angle - to.angle;
  const places = [0, turned, turned + Math.PI].map((turn) => ({ x: from.x, y: from.y, turn, size }));
  const fit = (place) => overlap(earlier.loops, placed(later.loops, to, place), earlier.width, earlier.height);
  return places.map((place) => [fit(place), place]).reduce((best, one) => (one[0] > best[0] + 0.01 ? one : best))[1];
}

/** Show the comparison of two of the photos; `back` leaves it. */
export function openComparison(element, photos, back) {
  let [earlier, later] = photos;
  const body = h("div", {});
  const select = (id, value, take) => {
    const choice = h("select", { id }, ...photos.map((photo, at) => h("option", { value: String(at), selected: photo === value }, photo.name)));
    choice.addEventListener("change", () => {
      take(photos[Number(choice.value)]);
      fill();
    });
    return choice;
  };
  const head = (id, colour, photo, take) => {
    const mark = h("i", {});
    mark.style.background = colour;
    return h("div", { class: "field" }, h("label", { for: id }, mark, t(id)), select(id, photo, take));
  };
  const fill = () => body.replaceChildren(...compared(earlier, later));
  element.replaceChildren(
    h("div", { class: "head" },
      h("h1", { id: "compare-title", tabindex: "-1" }, t("compare_title")),
      h("button", { type: "button", onclick: back }, icon("back"), t("back"))),
    h("div", { class: "choice" },
      head("earlier", EARLIER, earlier, (photo) => (earlier = photo)),
      head("later", LATER, later, (photo) => (later = photo))),
    body,
  );
  fill();
  element.querySelector("h1").focus();
}

function compared(earlier, later) {
  const shown = [[earlier, EARLIER], [later, LATER]].map(([photo, colour]) =>
    h("figure", {}, still(photo, colour), h("figcaption", {}, photo.name)));
  return [
    h("div", { class: "pair" }, ...shown),
    h("div", { class: "together" },
      earlier.measurements.area_px && later.measurements.area_px ? overlay(earlier, later) : h("p", { class: "note" }, t("no_lesion")),
      h("div", {}, changes(earlier, later), caution())),
  ];
}

function still(photo, colour) {
  const canvas = h("canvas", { role: "img", "aria-label": t("viewer", { name: photo.name, tool: "" }).split(".")[0] });
  const scale = Math.min(1, 900 / Math.max(photo.width, photo.height));
  canvas.width = Math.max(1, Math.round(photo.width * scale));
  canvas.height = Math.max(1, Math.round(photo.height * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(photo.bitmap, 0, 0, canvas.width, canvas.height);
  pen.scale(scale, scale);
  strokeOutline(pen, pathOf(photo.loops), 1.4 / scale, colour);
  return canvas;
}

function overlay(earlier, later) {
  const scales = earlier.scale && later.scale;
  // without scales both photos are taken to show the same width
  const natural = scales ? earlier.scale / later.scale : earlier.width / later.width;
  const middle = moments(later.loops);
  let place = register(earlier, later, natural);
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": `${t("overlay_text")}. ${t("align_hint")}` });
  const fit = Math.min(1, 900 / Math.max(earlier.width, earlier.height));
  canvas.width = Math.max(1, Math.round(earlier.width * fit));
  canvas.height = Math.max(1, Math.round(earlier.height * fit));
  const shared = h("output", {});
  const slider = (key, min, max, step, read, write) => {
    const input = h("input", { type: "range", min: String(min), max: String(max), step: String(step) });
    input.addEventListener("input", () => {
      write(Number(input.value));
      draw();
    });
    return { input, field: h("label", { class: "slider" }, h("span", {}, t(key)), input), set: () => (input.value = String(read())) };
  };
  const turn = slider("turn", -180, 180, 1, () => (Math.atan2(Math.sin(place.turn), Math.cos(place.turn)) * 180) / Math.PI, (value) => (place.turn = (value * Math.PI) / 180));
  const size = slider("resize", 50, 200, 1, () => (100 * place.size) / natural, (value) => (place.size = (natural * value) / 100));
  const draw = () => {
    const loops = placed(later.loops, middle, place);
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(earlier.bitmap, 0, 0, canvas.width, canvas.height);
    pen.setTransform(fit, 0, 0, fit, 0, 0);
    strokeOutline(pen, pathOf(earlier.loops), 1.4 / fit, EARLIER);
    strokeOutline(pen, pathOf(loops), 1.4 / fit, LATER);
    shared.textContent = t("overlap", { share: percent(overlap(earlier.loops, loops, earlier.width, earlier.height)) });
    turn.set(), size.set();
  };
  const nudge = (x, y) => {
    place.x += x, place.y += y;
    draw();
  };
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const unit = earlier.width / canvas.clientWidth;
    nudge((event.clientX - held[0]) * unit, (event.clientY - held[1]) * unit);
    held = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (held = null));
  canvas.addEventListener("keydown", (event) => {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!arrow) return;
    event.preventDefault();
    const by = (event.shiftKey ? 1 : 5) / fit;
    nudge(arrow[0] * by, arrow[1] * by);
  });
  draw();
  return h("figure", { class: "overlay" },
    canvas,
    h("figcaption", {}, shared, h("span", {}, t("align_hint"))),
    h("div", { class: "controls" },
      turn.field,
      size.field,
      h("button", { type: "button", onclick: () => ((place = register(earlier, later, natural)), draw()) }, t("align_auto"))));
}

function changes(earlier, later) {
  const scales = earlier.scale && later.scale;
  const rows = [
    scales
      ? ["area", (photo) => photo.measurements.area_px / photo.scale ** 2, (value) => t("unit_mm2", { value: number(value, 1) })]
      : ["area", (photo) => photo.measurements.area_px, (value) => t("unit_px", { value: number(value) })],
    scales
      ? ["diameter", (photo) => photo.measurements.diameter_px && photo.measurements.diameter_px / photo.scale, (value) => t("unit_mm", { value: number(value, 1) })]
      : ["diameter", (photo) => photo.measurements.diameter_px, (value) => t("unit_px", { value: number(value) })],
    ["asymmetry", (photo) => photo.measurements.asymmetry, (value) => number(value, 2)],
    ["border", (photo) => photo.measurements.border_irregularity, (value) => number(value, 2)],
  ];
  const cell = (value, show) => h("td", {}, value === null ? "–" : show(value));
  const sign = (value) => (value > 0 ? "+" : value < 0 ? "−" : "±");
  const body = rows.map(([key, read, show]) => {
    const [before, after] = [read(earlier), read(later)];
    const by = before === null || after === null ? null : after - before;
    const share = by !== null && before ? ` (${sign(by)}${percent(Math.abs(by / before))})` : "";
    return h("tr", {},
      h("th", { scope: "row" }, t(key)),
      cell(before, show),
      cell(after, show),
      h("td", { class: "change" }, by === null ? "–" : `${sign(by)}${show(Math.abs(by))}${share}`));
  });
  return h("div", { class: "table" },
    h("table", {},
      h("thead", {}, h("tr", {}, ...["measure", "earlier", "later", "change"].map((key) => h("th", { scope: "col" }, t(key))))),
      h("tbody", {}, ...body)),
    h("p", { class: "sub" }, t(scales ? "compare_scales" : "compare_no_scales")));
}

function caution() {
  return h("div", { class: "caution" }, h("h2", {}, t("caution_title")), h("p", {}, t("caution")));
}

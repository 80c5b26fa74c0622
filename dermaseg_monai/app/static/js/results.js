// The panel beside the stage: measurements, scale, downloads. And what is downloaded.

import { attributeOutlines, COLOURS, named } from "./attributes.js";
import { h, icon, number, parsedNumber, percent, save, t } from "./dom.js";
import { csv, zip } from "./files.js";
import { polygonsOf } from "./outline.js";
import { drawn, madePicture } from "./pictures.js";

const PICTURE_SIDE = 1600;

/** The greatest diameter and the area as people read them, in mm where the scale is known. */
export function sizes({ measurements, scale }) {
  const { area_px: area, diameter_px: diameter } = measurements;
  return {
    area: scale ? t("unit_mm2", { value: number(area / scale ** 2, 1) }) : null,
    diameter: diameter === null ? "–" : scale ? t("unit_mm", { value: number(diameter / scale, 1) }) : t("unit_px", { value: number(diameter) }),
  };
}

/** Fill the panel; `host` hears `onscale(photo, scale, all)`, `onruler()`, `onremove(photo)`, `onclear()`. */
export function showPanel(element, photo, photos, host) {
  const scrolled = element.scrollTop;
  element.replaceChildren(
    h("div", { class: "title" },
      h("h1", {}, photo.name),
      h("p", { class: "sub" }, photo.answer ? `${t("size", { width: number(photo.width), height: number(photo.height) })} · ${photo.answer.bundle}` : t(photo.state)),
      photo.corrected && h("p", { class: "mark" }, t("corrected"))),
    ...(photo.state === "done" ? [measures(photo), scaleField(photo, host), downloads(photo, photos)] : []),
    h("div", { class: "removal" },
      h("button", { type: "button", class: "plain", onclick: () => host.onremove(photo) }, t("remove")),
      h("button", { type: "button", class: "plain", onclick: () => host.onclear() }, t("remove_all"))),
  );
  element.scrollTop = scrolled;
}

function measures(photo) {
  const { measurements, answer } = photo;
  if (!measurements) return h("p", { class: "sub measuring" }, t("loading"));
  const { area, diameter } = sizes(photo);
  const decimals = (value) => (value === null ? "–" : number(value, 2));
  const share = (value) => (value === null || value === undefined ? "–" : percent(value));
  const rows = [
    ["asymmetry", decimals(measurements.asymmetry), t("asymmetry_meaning")],
    ["border", decimals(measurements.border_irregularity), t("border_meaning")],
    ["confidence", share(answer.confidence), t("confidence_meaning")],
  ].map(([key, value, meaning]) => [t(key), value, meaning]);
  if (answer.uncertainty) rows.push([t("uncertainty"), share(answer.uncertainty.mean), t("uncertainty_meaning")]);
  for (const [name, { area_share: covered }] of Object.entries(answer.attributes ?? {})) {
    if (covered > 0) rows.push([named(name), percent(covered, 1), t("attribute_meaning")]);
  }
  const head = (key, value, meaning) =>
    h("div", { class: "figure" }, h("dt", {}, t(key)), h("dd", { class: "value" }, value), h("dd", { class: "meaning" }, meaning));
  return h("div", {},
    answer.unlikeness > 1 && h("p", { class: "note", role: "alert" }, t("unlike")),
    h("dl", { class: "figures" },
      head("area", area ?? percent(measurements.area_share, 1), area ? `${percent(measurements.area_share, 1)} ${t("area_meaning")}` : t("area_meaning")),
      head("diameter", diameter, t("diameter_meaning"))),
    h("dl", { class: "measures" },
      ...rows.map(([name, value, meaning]) =>
        h("div", {}, h("dt", {}, name), h("dd", { class: "value" }, value), h("dd", { class: "meaning" }, meaning)))),
    !measurements.area_px && h("p", { class: "note" }, t("no_lesion")),
    measurements.touches_edge && h("p", { class: "note" }, t("touches_edge")));
}

function scaleField(photo, host) {
  const input = h("input", { id: "scale", inputmode: "decimal", autocomplete: "off", placeholder: t("scale_unknown"), value: photo.scale ? String(Number(photo.scale.toPrecision(5))) : "", "aria-describedby": "scale-hint" });
  const hint = h("p", { id: "scale-hint", class: "sub" }, t("scale_hint"));
  const all = h("input", { type: "checkbox", checked: host.scaleForAll });
  const take = () => {
    const scale = parsedNumber(input.value);
    input.setAttribute("aria-invalid", String(scale === undefined));
    hint.textContent = t(scale === undefined ? "scale_bad" : "scale_hint");
    if (scale !== undefined) host.onscale(photo, scale, all.checked);
  };
  input.addEventListener("change", take);
  all.addEventListener("change", take);
  return h("section", { class: "scale" },
    h("label", { for: "scale" }, t("scale_label")),
    h("div", { class: "row" }, input, h("button", { type: "button", onclick: () => host.onruler() }, icon("ruler"), t("ruler_start"))),
    hint,
    h("label", { class: "check" }, all, h("span", {}, t("scale_all"))));
}

function downloads(photo, photos) {
  const one = (key, make, name) =>
    h("button", { type: "button", onclick: async () => save(await make(), name) }, t(key));
  return h("section", { class: "downloads", "aria-label": t("downloads") },
    h("button", { type: "button", class: "primary", onclick: async () => save(await archive(photos()), "dermaseg.zip") }, icon("down"), t("download_all")),
    h("div", { class: "several" },
      one("download_csv", async () => table(photos()), "measurements.csv"),
      one("download_mask", () => photo.picture(), `${photo.stem}_segmentation.png`),
      one("download_svg", async () => svg(photo), `${photo.stem}_outline.svg`),
      one("download_polygons", async () => polygons(photo), `${photo.stem}_outline.json`)));
}

/** The outline as SVG, in the photo's pixels. */
export function svg({ loops, width, height }) {
  const path = loops.map((loop) => `M${loop.map((point) => point.join(" ")).join("L")}Z`).join("");
  return new Blob(
    [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n` +
        `<path d="${path}" fill="none" fill-rule="evenodd" stroke="#0d9488" stroke-width="2" vector-effect="non-scaling-stroke"/>\n</svg>\n`,
    ],
    { type: "image/svg+xml" },
  );
}

/** The outline as a MultiPolygon like GeoJSON's, in the photo's pixels: x to the right, y down. */
export function polygons(photo) {
  const feature = {
    type: "Feature",
    properties: { photo: photo.name, width: photo.width, height: photo.height, unit: "pixel", corrected: photo.corrected },
    geometry: { type: "MultiPolygon", coordinates: polygonsOf(photo.loops) },
  };
  return new Blob([JSON.stringify(feature)], { type: "application/geo+json" });
}

/** The measurements as CSV, a row for each photo. */
export function table(photos) {
  const names = Object.keys(COLOURS);
  const head = ["id", "photo", "bundle", "height", "width", "corrected", "area_share", "asymmetry", "border_irregularity"]
    .concat(["diameter_px", "touches_edge", "confidence", "uncertainty"])
    .concat(["pixels_per_mm", "diameter_mm", "area_mm2"], names.map((name) => `${name}_share`));
  const rows = photos.map(({ stem, name, answer, height, width, corrected, measurements: m, scale }) => [
    ...[stem, name, answer.bundle, height, width, corrected, m.area_share, m.asymmetry, m.border_irregularity],
    ...[m.diameter_px, m.touches_edge, answer.confidence, answer.uncertainty?.mean],
    ...(scale ? [scale, m.diameter_px === null ? null : m.diameter_px / scale, m.area_px / scale ** 2] : [null, null, null]),
    ...names.map((one) => answer.attributes?.[one]?.area_share),
  ]);
  return new Blob([csv([head, ...rows])], { type: "text/csv" });
}

/** Masks, outlines, maps, pictures and the table in one zip. */
export async function archive(photos) {
  const files = [];
  for (const photo of photos) {
    const add = (ending, blob) => files.push({ name: `${photo.stem}_${ending}`, blob });
    add("segmentation.png", await photo.picture());
    add("outline.svg", svg(photo));
    add("outline.json", polygons(photo));
    add("outline.jpg", await drawn(photo, [{ loops: photo.loops }], PICTURE_SIDE, 0.9));
    if (photo.answer.uncertainty) add("uncertainty.png", await madePicture(photo.answer.uncertainty.map));
    for (const [name, mask] of Object.entries(photo.answer.bounds ?? {})) add(`${name}.png`, await madePicture(mask));
    for (const [name, { mask }] of Object.entries(photo.answer.attributes ?? {})) add(`attribute_${name}.png`, mask);
    if (photo.answer.attributes) add("attributes.jpg", await drawn(photo, await attributeOutlines(photo), PICTURE_SIDE, 0.9));
  }
  return zip([...files, { name: "measurements.csv", blob: table(photos) }]);
}

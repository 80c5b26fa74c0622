// The page: photos come in, an engine segments them, people look, correct, compare and download.

import { openWorker, Told } from "./calls.js";
import { openComparison } from "./compare.js";
import { askToken, openOptions } from "./dialogs.js";
import { byId, h, loadTexts, number, say, t, tn } from "./dom.js";
import { Photo } from "./photo.js";
import { drawn, MAX_PIXELS, pixelsOf, showable } from "./pictures.js";
import { showPanel } from "./results.js";
import { Stage } from "./stage.js";

const MOST_PHOTOS = 50;
const MOST_BYTES = 64 * 2 ** 20;
const AT_ONCE = 2; // photos that the engine is asked about

const call = openWorker();
let engine, stage;
let photos = [];
let current = null;
let busy = 0;
let chosen = { bundle: "", attributes: "" };
let scaleForAll = false, commonScale = null;

const finished = () => photos.filter((photo) => photo.state === "done" && photo.measurements);

async function start() {
  const config = await (await fetch("config.json")).json();
  await loadTexts(config.languages ?? ["en"]);
  byId("badge").querySelector("span").textContent = t(`badge_${config.engine}`);
  byId("privacy").textContent = t(`privacy_${config.engine}`);
  byId("drop-hint").textContent = t(`drop_hint_${config.engine}`);
  byId("badge").hidden = false;
  byId("api-link").hidden = config.engine !== "server";
  const hosts = { ask: askToken, tell: (key) => say(t(key), "working"), call };
  const { Engine } = await import(`./engine-${config.engine}.js`);
  engine = await Engine.open(config, hosts);
  chosen.bundle = engine.about.default;
  byId("open-options").hidden = engine.about.bundles.filter(({ task }) => task !== "prompt").length < 2;
  stage = new Stage(byId("stage"), { onchange: changed, onclick: refine, onscale: (photo, scale) => setScale(photo, scale, scaleForAll) }, engine.about);
  listen();
  document.body.dataset.ready = "";
}

function listen() {
  for (const button of document.querySelectorAll("[data-do]")) {
    const acts = { choose: () => byId("files").click(), camera: () => byId("camera").click(), example };
    button.addEventListener("click", acts[button.dataset.do]);
  }
  for (const id of ["files", "camera"]) {
    byId(id).addEventListener("change", ({ target }) => {
      add([...target.files]);
      target.value = "";
    });
  }
  let depth = 0;
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  addEventListener("dragenter", () => dragging(++depth > 0));
  addEventListener("dragleave", () => dragging(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(((depth = 0), false));
    add([...event.dataTransfer.files]);
  });
  addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && add([...clipboardData.files]));
  byId("open-options").addEventListener("click", () => openOptions(engine.about, chosen, choose));
  byId("open-compare").addEventListener("click", () => {
    view("comparison");
    openComparison(byId("comparison"), finished(), () => view(photos.length ? "workspace" : "welcome"));
  });
}

function view(name) {
  document.body.dataset.view = name;
}

async function example() {
  const response = await fetch("example.jpg").catch(() => null);
  if (!response?.ok) return refuse(t("example_name"), t("no_answer"));
  add([new File([await response.blob()], t("example_name"), { type: "image/jpeg" })]);
}

async function add(files) {
  for (const file of files) {
    if (photos.length >= MOST_PHOTOS) refuse(file.name, t("too_many", { count: MOST_PHOTOS }));
    else if (file.size > MOST_BYTES) refuse(file.name, t("too_large", { count: MOST_BYTES / 2 ** 20 }));
    else {
      const photo = new Photo(file, new Set(photos.map(({ stem }) => stem.toLowerCase())));
      photo.scale = scaleForAll ? commonScale : null;
      photos.push(photo);
      current ??= photo;
    }
  }
  render();
  work();
}

/** Ask the engine about the photos that wait. */
async function work() {
  const photo = photos.find(({ state }) => state === "waiting");
  if (!photo || busy >= AT_ONCE) return;
  busy++;
  photo.state = "working";
  render();
  work();
  try {
    const shown = photo.bitmap ? photo : await showable(photo.file);
    if (shown && shown.width * shown.height > MAX_PIXELS) {
      throw new Told("too_many_pixels", { width: shown.width, height: shown.height, count: MAX_PIXELS });
    }
    if (shown) [photo.bitmap, photo.width, photo.height] = [shown.bitmap, shown.width, shown.height];
    if (photo === current) stage.show(photo);
    const asked = { ...chosen };
    const answer = await engine.segment(photo.file, { ...asked, preview: !shown });
    if (!photos.includes(photo)) return;
    if (asked.bundle !== chosen.bundle || asked.attributes !== chosen.attributes) {
      photo.state = "waiting"; // another network was chosen meanwhile
      return;
    }
    await photo.take(answer);
    if (photo !== current && !isFirst(photo)) await photo.rest();
    await thumbnail(photo);
  } catch (error) {
    if (!photos.includes(photo)) return;
    refuse(photo.name, reasonOf(error));
    forget(photo);
  } finally {
    busy--;
    render();
    work();
  }
}

/** Whether nobody has looked at another photo yet; the photo is then looked at. */
function isFirst(photo) {
  if (current && current.state === "done") return false;
  if (!current || !photos.includes(current)) current = photo;
  return current === photo;
}

async function thumbnail(photo) {
  const blob = await drawn(photo, [{ loops: photo.loops }]);
  if (photo.thumb) URL.revokeObjectURL(photo.thumb);
  photo.thumb = URL.createObjectURL(blob);
}

async function select(photo) {
  if (photo === current) return;
  const before = current;
  current = photo;
  if (photo?.state === "done") await photo.pixels();
  if (before && before !== current && before.state === "done" && photos.includes(before)) await before.rest();
  render();
}

/** A photo's mask was corrected: measure it again. */
async function changed(photo) {
  showPanel(byId("panel"), photo, finished, panelHost);
  if (!photo.measurements) {
    const { mask, width, height } = photo;
    const measurements = await call("measure", { mask, width, height });
    if (photo.mask !== mask) return; // corrected again meanwhile
    photo.measurements = measurements;
  }
  await thumbnail(photo);
  render();
}

async function refine(photo, points) {
  say(t("refining"), "working");
  try {
    const { mask } = await engine.refine(photo, points);
    if (photo === current) stage.changed(await pixelsOf(mask));
  } catch (error) {
    refuse(photo.name, reasonOf(error));
  }
  render();
}

function setScale(photo, scale, all) {
  scaleForAll = all;
  if (all) commonScale = scale;
  for (const one of all ? photos : [photo]) one.scale = scale;
  render();
}

function choose(name, value) {
  chosen = { ...chosen, [name]: value };
  for (const photo of photos) {
    if (photo.state === "done") photo.forget(), (photo.state = "waiting");
  }
  render();
  work();
}

const panelHost = {
  get scaleForAll() {
    return scaleForAll;
  },
  onscale: setScale,
  onruler: () => {
    stage.choose("ruler");
    stage.viewer.canvas.scrollIntoView({ block: "nearest" });
    stage.viewer.canvas.focus();
  },
  onremove: (photo) => {
    forget(photo);
    render();
  },
  onclear: () => {
    for (const photo of [...photos]) forget(photo);
    byId("refusals").replaceChildren();
    render();
  },
};

function forget(photo) {
  const place = photos.indexOf(photo);
  photos = photos.filter((one) => one !== photo);
  if (photo.thumb) URL.revokeObjectURL(photo.thumb);
  photo.bitmap?.close();
  photo.bitmap = null;
  if (photo === current) {
    current = null;
    const next = photos[Math.min(place, photos.length - 1)];
    if (next) select(next);
  }
}

/** What an error says, in the page's language where it has a text; numbers in it as people write them. */
function reasonOf({ key, values, message }) {
  if (!key) return message;
  return t(key, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, number(value)])));
}

function refuse(name, reason) {
  const box = byId("refusals");
  if (!box.firstChild) {
    box.append(
      h("p", {}, t("refused")),
      h("ul", {}),
      h("button", { type: "button", class: "plain", onclick: () => box.replaceChildren() }, t("dismiss")),
    );
  }
  box.querySelector("ul").append(h("li", {}, h("strong", {}, name), `: ${reason}`));
}

function render() {
  if (document.body.dataset.view !== "comparison") view(photos.length ? "workspace" : "welcome");
  const working = photos.find(({ state }) => state === "working") ?? photos.find(({ state }) => state === "waiting");
  const done = photos.filter(({ state }) => state === "done").length;
  if (working) say(t("status_working", { name: working.name, done, total: photos.length }), "working");
  else say(photos.length ? tn("status_done", done) : "", photos.length ? "done" : "");
  byId("open-compare").hidden = done < 2;
  renderStrip();
  if (!current) return;
  if (current.bitmap) stage.show(current);
  showPanel(byId("panel"), current, finished, panelHost);
}

function renderStrip() {
  const strip = byId("strip");
  const focused = strip.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  strip.replaceChildren(
    ...photos.map((photo) =>
      h("li", {},
        h("button", { type: "button", class: "tile", "aria-current": photo === current && "true", dataset: { id: String(photo.id), state: photo.state }, onclick: () => select(photo) },
          photo.thumb && photo.state === "done" ? h("img", { src: photo.thumb, alt: "" }) : h("span", { class: "spinner" }),
          h("span", { class: "caption" }, photo.name),
          photo.state !== "done" && h("span", { class: "unseen" }, t(photo.state)),
          photo.corrected && h("span", { class: "dot", title: t("corrected") }, h("span", { class: "unseen" }, t("corrected")))))),
  );
  if (focused) strip.querySelector(`[data-id="${focused}"]`)?.focus();
}

start();

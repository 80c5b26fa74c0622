// Elements, texts and small helpers of the page.

let texts = {};
let plural = new Intl.PluralRules("en");
let language = "en";

/** Load the texts of the visitor's language, or of the first one there is. */
export async function loadTexts(languages) {
  const wanted = navigator.languages.map((tag) => tag.split("-")[0]).find((tag) => languages.includes(tag));
  texts = await (await fetch(`texts.${wanted ?? languages[0]}.json`)).json();
  language = document.documentElement.lang = texts.language;
  plural = new Intl.PluralRules(language);
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
}

/** A text, with {names} in it replaced by values. */
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A text that depends on a count: `key_one`, `key_other`, ... */
export const tn = (key, count) => t(`${key}_${plural.select(count)}`, { count: number(count) });

/** A number for people. */
export const number = (value, digits = 0) =>
  value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A share for people. */
export const percent = (value, digits = 0) =>
  value.toLocaleString(language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A number above 0 as people type it; null for nothing, undefined for nonsense. */
export function parsedNumber(text) {
  const plain = text.trim().replace(",", ".");
  if (!plain) return null;
  const value = Number(plain);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

/** An element: `h("button", {type: "button", onclick}, "text", child, ...)`; false, null and undefined are left out. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "dataset") Object.assign(element.dataset, value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One of the icons of index.html. */
export function icon(name) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  picture.append(use);
  return picture;
}

export const byId = (id) => document.getElementById(id);

/** Tell a screen reader, and whoever looks at the page's status. */
export function say(text, state = "") {
  const status = byId("status");
  status.textContent = text;
  status.dataset.state = state;
}

/** Hand a file to the visitor. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// The five dermoscopic attributes: colours as in the Python package's pictures, and their outlines.

import { traceOutlines } from "./outline.js";
import { readMask } from "./pictures.js";

export const COLOURS = {
  pigment_network: "#2f9bff",
  negative_network: "#00c853",
  streaks: "#ff1744",
  milia_like_cyst: "#ffd600",
  globules: "#d500f9",
};

export const named = (name) => {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
};

/** Outlines of the attributes that a photo has: [{name, colour, loops}, ...]. */
export async function attributeOutlines(photo) {
  const found = Object.entries(photo.answer.attributes ?? {}).filter(([, { area_share: share }]) => share > 0);
  photo.answer.outlines ??= await Promise.all(
    found.map(async ([name, { mask }]) => ({
      name,
      colour: COLOURS[name] ?? "#ffffff",
      loops: traceOutlines(await readMask(mask), photo.width, photo.height),
    })),
  );
  return photo.answer.outlines;
}

// Between files of pictures and pixels.

import { Told } from "./calls.js";

export const MAX_PIXELS = 64_000_000;
const SHOWN_SIDE = 2400; // longest side of a photo as it is kept for showing
const THUMB_SIDE = 160;

function canvas(width, height) {
  const made = new OffscreenCanvas(width, height);
  return [made, made.getContext("2d", { willReadFrequently: true })];
}

/** A picture for showing, at most SHOWN_SIDE wide and high, and its full size; null where the browser cannot. */
export async function showable(blob) {
  const full = await createImageBitmap(blob).catch(() => null);
  if (!full) return null;
  const { width, height } = full;
  const scale = SHOWN_SIDE / Math.max(width, height);
  if (scale >= 1) return { bitmap: full, width, height };
  const [small, pen] = canvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  pen.imageSmoothingQuality = "high";
  pen.drawImage(full, 0, 0, small.width, small.height);
  full.close();
  return { bitmap: small.transferToImageBitmap(), width, height };
}

/** The photo's pixels (RGBA), upright, on white where it is transparent. */
export async function readPhoto(file) {
  const head = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  let bitmap, pen;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Told("unreadable");
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new Told("too_many_pixels", { width, height, count: MAX_PIXELS });
  pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const isJpeg = head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff;
  return { pixels: pen.getImageData(0, 0, width, height).data, width, height, isJpeg };
}

/** The mask in a PNG, as 0 and 1. */
export async function readMask(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const [, pen] = canvas(width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = pen.getImageData(0, 0, width, height);
  const mask = new Uint8Array(width * height);
  for (let at = 0; at < mask.length; at++) mask[at] = data[4 * at] >= 128 ? 1 : 0;
  return mask;
}

/** A mask's pixels, of a PNG or of the pixels themselves. */
export const pixelsOf = (mask) => (mask instanceof Blob ? readMask(mask) : mask);

/** A picture of an engine's answer: a blob, or what makes it. */
export const madePicture = (picture) => (typeof picture === "function" ? picture() : picture);

/** Loops as a path to draw. */
export function pathOf(loops) {
  const path = new Path2D();
  for (const loop of loops) {
    loop.forEach(([x, y], at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}

/** Stroke outlines in the photo's own coordinates; `unit` is how many of them one pixel of the canvas covers. */
export function strokeOutline(pen, path, unit, colour = "#5eead4") {
  pen.lineJoin = "round";
  pen.lineWidth = 4.5 * unit;
  pen.strokeStyle = "rgb(0 20 20 / 55%)";
  pen.stroke(path);
  pen.lineWidth = 2.25 * unit;
  pen.strokeStyle = colour;
  pen.stroke(path);
}

/** A photo with outlines, as a blob: [{loops, colour}, ...] in the photo's coordinates. */
export async function drawn(photo, outlines, longest = THUMB_SIDE, quality = 0.85) {
  const scale = Math.min(1, longest / Math.max(photo.width, photo.height));
  const [picture, pen] = canvas(Math.max(1, Math.round(photo.width * scale)), Math.max(1, Math.round(photo.height * scale)));
  pen.imageSmoothingQuality = "high";
  pen.drawImage(photo.bitmap, 0, 0, picture.width, picture.height);
  pen.scale(picture.width / photo.width, picture.height / photo.height);
  const unit = Math.max(1, Math.max(picture.width, picture.height) / 700) / scale;
  for (const { loops, colour } of outlines) strokeOutline(pen, pathOf(loops), unit, colour);
  return picture.convertToBlob({ type: "image/jpeg", quality });
}

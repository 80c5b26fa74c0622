// The inner and the outer outline, between which a lesion's border lies.

import { t } from "./dom.js";
import { traceOutlines } from "./outline.js";
import { madePicture, readMask } from "./pictures.js";

const COLOURS = { inner: "#00c853", outer: "#ff9100" };

/** Both outlines of a photo that has them: [{name, colour, loops}, ...]. */
export async function boundOutlines(photo) {
  photo.answer.boundOutlines ??= await Promise.all(
    Object.entries(COLOURS).map(async ([name, colour]) => ({
      name: t(`bounds_${name}`),
      colour,
      loops: traceOutlines(await readMask(await madePicture(photo.answer.bounds[name])), photo.width, photo.height),
    })),
  );
  return photo.answer.boundOutlines;
}

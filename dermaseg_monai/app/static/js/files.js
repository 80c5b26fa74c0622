// Files that the page writes: PNG, zip, CSV. Written out, since a browser's own PNGs have four channels.

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) crc = CRC[(crc ^ bytes[at]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** An 8-bit PNG of grey levels, or of indices where there is a palette (768 bytes). */
export async function encodePng(levels, width, height, palette = null) {
  const rows = new Uint8Array(height * (width + 1)); // a row begins with the number of its filter
  for (let y = 0; y < height; y++) rows.set(levels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width), view.setUint32(4, height);
  header[8] = 8, header[9] = palette ? 3 : 0;
  const chunks = [chunk("IHDR", header), ...(palette ? [chunk("PLTE", palette)] : [])];
  return new Blob(
    [Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...chunks, chunk("IDAT", data), chunk("IEND", new Uint8Array())],
    { type: "image/png" },
  );
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4), bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** A mask of 0 and 1 as a PNG of 0 and 255. */
export const encodeMask = (mask, width, height) => encodePng(mask.map((value) => value * 255), width, height);

/** A zip of files that are compressed already: [{name, blob}, ...]. */
export async function zip(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const title = new TextEncoder().encode(name);
    const entry = new DataView(new ArrayBuffer(46));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(4, 20, true), entry.setUint16(6, 20, true);
    entry.setUint16(8, 0x0800, true); // names are UTF-8
    entry.setUint32(12, 0x00210000, true); // 1 January 1980: a photo's results do not tell when they were made
    entry.setUint32(16, crc32(bytes), true);
    entry.setUint32(20, bytes.length, true), entry.setUint32(24, bytes.length, true);
    entry.setUint16(28, title.length, true);
    entry.setUint32(42, offset, true);
    const local = new Uint8Array(30);
    local.set(Uint8Array.of(0x50, 0x4b, 3, 4));
    local.set(new Uint8Array(entry.buffer, 6, 24), 4);
    new DataView(local.buffer).setUint16(26, title.length, true);
    new DataView(local.buffer).setUint16(28, 0, true);
    parts.push(local, title, bytes);
    directory.push(new Uint8Array(entry.buffer), title);
    offset += local.length + title.length + bytes.length;
  }
  const size = directory.reduce((total, part) => total + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true), end.setUint16(10, files.length, true);
  end.setUint32(12, size, true), end.setUint32(16, offset, true);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** A table as CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it. */
export function csv(rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
    let text = String(value);
    if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** A file's name without its ending, fit for the names of its results on any system and in any table. */
export function safeStem(name) {
  const bare = name.replace(/^.*[\\/]/, "");
  const dot = bare.lastIndexOf(".");
  const stem = dot > 0 ? bare.slice(0, dot) : bare;
  const safe = stem.replace(/[^\p{L}\p{N}_.-]+/gu, "_").slice(0, 80).replace(/^[._-]+|[._-]+$/g, "");
  return safe || "photo";
}

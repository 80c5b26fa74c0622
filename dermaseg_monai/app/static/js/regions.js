// Connected regions of a mask, by the runs of its rows, as in dermaseg_monai/utils/regions.py.
// A mask is a Uint8Array of 0 and 1, row by row.

/** The regions of the pixels that have `value`; diagonal neighbours belong together where `diagonal` says so. */
export function findRegions(mask, width, height, value, diagonal) {
  const rows = [], starts = [], stops = [], parent = [];
  const root = (run) => {
    while (parent[run] !== run) run = parent[run] = parent[parent[run]];
    return run;
  };
  const reach = diagonal ? 1 : 0;
  let above = 0, current = 0; // the first run of the row above, and of this row
  for (let y = 0; y < height; y++) {
    const base = y * width;
    const end = starts.length;
    let other = above;
    for (let x = 0; x < width; x++) {
      if (mask[base + x] !== value) continue;
      const start = x;
      while (x < width && mask[base + x] === value) x++;
      const run = starts.length;
      rows.push(y), starts.push(start), stops.push(x), parent.push(run);
      while (other < end && stops[other] + reach <= start) other++;
      for (let up = other; up < end && starts[up] < x + reach; up++) {
        const [first, second] = [root(up), root(run)];
        parent[Math.max(first, second)] = Math.min(first, second); // the first met names the region
      }
    }
    above = current = end;
  }
  const index = new Map();
  const areas = [], atBorder = [], region = new Int32Array(starts.length);
  for (let run = 0; run < starts.length; run++) {
    const name = root(run);
    if (!index.has(name)) index.set(name, areas.push(0) - 1), atBorder.push(false);
    const one = (region[run] = index.get(name));
    areas[one] += stops[run] - starts[run];
    const touches = rows[run] === 0 || rows[run] === height - 1 || starts[run] === 0 || stops[run] === width;
    if (touches) atBorder[one] = true;
  }
  return { width, rows, starts, stops, region, areas, atBorder };
}

/** Give the pixels of the regions for which `chosen(region)` holds a value. */
export function paintRegions(regions, mask, value, chosen) {
  for (let run = 0; run < regions.starts.length; run++) {
    if (!chosen(regions.region[run])) continue;
    const base = regions.rows[run] * regions.width;
    mask.fill(value, base + regions.starts[run], base + regions.stops[run]);
  }
}

/** Keep the largest region (8-connected; of equals the first), in place. */
export function keepLargest(mask, width, height) {
  const regions = findRegions(mask, width, height, 1, true);
  if (regions.areas.length < 2) return;
  const largest = regions.areas.indexOf(regions.areas.reduce((a, b) => Math.max(a, b)));
  paintRegions(regions, mask, 0, (region) => region !== largest);
}

/** Fill the background that is not 4-connected to the border, in place. */
export function fillHoles(mask, width, height) {
  const background = findRegions(mask, width, height, 0, false);
  paintRegions(background, mask, 1, (region) => !background.atBorder[region]);
}

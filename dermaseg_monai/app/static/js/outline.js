// Between masks and outlines: closed loops of pixel corners, with the lesion on their right.

/** The loops around a mask's regions (8-connected) and holes: arrays of [x, y], a corner at each turn. */
export function traceOutlines(mask, width, height) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const seen = new Uint8Array(mask.length); // left sides that a loop has passed
  const loops = [];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (mask[at] !== 1 || seen[at] || (x > 0 && mask[at - 1] === 1)) continue;
      loops.push(follow(x, y + 1));
    }
  }
  return loops;

  function follow(startX, startY) {
    const loop = [];
    let [x, y, dx, dy] = [startX, startY, 0, -1];
    do {
      if (dy === -1) seen[(y - 1) * width + x] = 1;
      x += dx, y += dy;
      // the two pixels ahead, to the left and to the right of the way
      const left = inside(x + (dx + dy - 1) / 2, y + (dy - dx - 1) / 2);
      const right = inside(x + (dx - dy - 1) / 2, y + (dy + dx - 1) / 2);
      if (left) loop.push([x, y]), ([dx, dy] = [dy, -dx]);
      else if (!right) loop.push([x, y]), ([dx, dy] = [-dy, dx]);
    } while (x !== startX || y !== startY || dx !== 0 || dy !== -1);
    return loop;
  }
}

/** Twice the area within a loop: positive around a region, negative around a hole. */
export function signedArea(loop) {
  let total = 0;
  for (let at = 0; at < loop.length; at++) {
    const [x, y] = loop[at], [nextX, nextY] = loop[(at + 1) % loop.length];
    total += x * nextY - nextX * y;
  }
  return total;
}

/** The mask of the pixels whose centres lie within an odd number of loops. */
export function fillLoops(loops, width, height) {
  const crossings = Array.from({ length: height }, () => []);
  for (const loop of loops) {
    for (let at = 0; at < loop.length; at++) {
      let [x, y] = loop[at], [endX, endY] = loop[(at + 1) % loop.length];
      if (y > endY) [x, y, endX, endY] = [endX, endY, x, y];
      const last = Math.min(height, Math.ceil(endY - 0.5));
      for (let row = Math.max(0, Math.ceil(y - 0.5)); row < last; row++) {
        crossings[row].push(x + ((row + 0.5 - y) / (endY - y)) * (endX - x));
      }
    }
  }
  const mask = new Uint8Array(width * height);
  crossings.forEach((places, row) => {
    places.sort((a, b) => a - b);
    for (let at = 0; at + 1 < places.length; at += 2) {
      const from = Math.max(0, Math.ceil(places[at] - 0.5)), to = Math.min(width, Math.ceil(places[at + 1] - 0.5));
      if (from < to) mask.fill(1, row * width + from, row * width + to);
    }
  });
  return mask;
}

/** Indices of a closed loop's corners that are worth a handle: no other lies further than `tolerance` from them. */
export function handlesOf(loop, tolerance) {
  if (loop.length < 4) return [...loop.keys()];
  let far = 0;
  loop.forEach((point, at) => {
    if (distance(point, loop[0]) > distance(loop[far], loop[0])) far = at;
  });
  const kept = [];
  const between = (from, to) => {
    kept.push(from % loop.length);
    const stack = [[from, to]];
    const inner = [];
    while (stack.length) {
      const [first, last] = stack.pop();
      let worst = tolerance, place = -1;
      for (let at = first + 1; at < last; at++) {
        const off = offLine(loop[at % loop.length], loop[first % loop.length], loop[last % loop.length]);
        if (off > worst) [worst, place] = [off, at];
      }
      if (place >= 0) inner.push(place), stack.push([first, place], [place, last]);
    }
    kept.push(...inner.sort((a, b) => a - b).map((at) => at % loop.length));
  };
  between(0, far), between(far, loop.length);
  return kept;
}

/** The loop after its corner `handle` is moved; the corners up to the neighbouring handles follow, less and less. */
export function moveHandle(loop, handles, handle, [byX, byY]) {
  const place = handles.indexOf(handle);
  const before = handles[(place - 1 + handles.length) % handles.length];
  const after = handles[(place + 1) % handles.length];
  const moved = loop.map((point) => [...point]);
  const pull = (from, to, step) => {
    const count = (((to - from) * step) % loop.length + loop.length) % loop.length || loop.length;
    for (let at = 1; at < count; at++) {
      const index = (((from + at * step) % loop.length) + loop.length) % loop.length;
      moved[index][0] += byX * (1 - at / count), moved[index][1] += byY * (1 - at / count);
    }
  };
  moved[handle][0] += byX, moved[handle][1] += byY;
  pull(handle, before, -1), pull(handle, after, 1);
  return moved;
}

/** Polygons as in GeoJSON: a list of [outer ring, ...rings of its holes], each ring closed. */
export function polygonsOf(loops) {
  const closed = (loop) => [...loop, loop[0]];
  const outer = loops.filter((loop) => signedArea(loop) > 0);
  const polygons = outer.map((loop) => [closed(loop)]);
  for (const hole of loops.filter((loop) => signedArea(loop) < 0)) {
    // a hole lies within the smallest region around it
    const around = outer
      .map((loop, at) => [signedArea(loop), at])
      .filter(([, at]) => within(hole[0], hole[1], outer[at]))
      .sort((a, b) => a[0] - b[0])[0];
    if (around) polygons[around[1]].push(closed(hole));
  }
  return polygons;
}

/** Whether the middle of a side of one loop lies within another. */
function within([x0, y0], [x1, y1], loop) {
  const [x, y] = [(x0 + x1) / 2 + 0.25, (y0 + y1) / 2 + 0.25];
  let odd = false;
  for (let at = 0; at < loop.length; at++) {
    const [ax, ay] = loop[at], [bx, by] = loop[(at + 1) % loop.length];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) odd = !odd;
  }
  return odd;
}

const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

function offLine([x, y], [ax, ay], [bx, by]) {
  const length = Math.hypot(bx - ax, by - ay);
  return length ? Math.abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length : Math.hypot(x - ax, y - ay);
}

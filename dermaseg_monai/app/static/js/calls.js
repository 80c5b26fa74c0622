// Calls of worker.js.

/** An error that the page has a text for. */
export class Told extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

export function openWorker() {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data: { id, result, error, key, values } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (key) reject(new Told(key, values));
    else if (error) reject(new Error(error));
    else resolve(result);
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "worker"));
    waiting.clear();
  };
  return (name, argument, transfer = []) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage({ id: count, name, argument }, transfer);
    });
}

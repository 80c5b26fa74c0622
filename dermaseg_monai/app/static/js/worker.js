// What takes long, beside the page: measurements, and, without a server, the network.

import { measureMask } from "./measure.js";

let network = null;

const calls = {
  measure: ({ mask, width, height }) => measureMask(mask, width, height),
  open: async (config) => {
    network = await (await import("./network.js")).openNetwork(config);
  },
  segment: (photo) => network.segment(photo),
};

self.onmessage = async ({ data: { id, name, argument } }) => {
  try {
    self.postMessage({ id, result: await calls[name](argument) });
  } catch (error) {
    self.postMessage({ id, error: error.message, key: error.key, values: error.values });
  }
};

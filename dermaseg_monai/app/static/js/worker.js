// What takes long, beside the page: measurements, and, without a server, the networks.

import { measureMask } from "./measure.js";

let network = null, clicks = null;

const calls = {
  measure: ({ mask, width, height }) => measureMask(mask, width, height),
  open: async (config) => {
    const runtime = await (await import("./runtime.js")).openRuntime(config.webgpu);
    network = await (await import("./network.js")).openNetwork(runtime, config);
    if (config.clicks) clicks = new (await import("./clicks.js")).Clicks(runtime, config.clicks);
  },
  segment: (photo) => network.segment(photo),
  bound: (asked) => network.bound(asked),
  heat: (asked) => network.heat(asked),
  refine: (asked) => clicks.refine(asked),
};

self.onmessage = async ({ data: { id, name, argument } }) => {
  try {
    self.postMessage({ id, result: await calls[name](argument) });
  } catch (error) {
    self.postMessage({ id, error: error.message, key: error.key, values: error.values });
  }
};

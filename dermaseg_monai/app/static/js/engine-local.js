// Engine two: no server. The network runs in this browser; photos never leave the device.

export class Engine {
  static async open(config, { call }) {
    const engine = new Engine();
    engine.call = call;
    engine.about = {
      default: config.bundle,
      refine: config.clicks !== null,
      bundles: [{ name: config.bundle, task: "lesion", uncertainty: true }],
    };
    engine.opened = call("open", config);
    engine.opened.catch(() => {}); // told with the first photo
    // after the first visit the page works without a network
    navigator.serviceWorker?.register("sw.js").catch(() => {});
    return engine;
  }

  /** As the server's; the mask is pixels, and pictures that few people look at are made when they are asked for. */
  async segment(file) {
    await this.opened;
    const { grids, ...answer } = await this.call("segment", { file, name: file.name });
    const { width, height, bounds } = answer;
    answer.uncertainty.map = () => this.call("heat", { grids, width, height });
    for (const name of bounds ? ["inner", "outer"] : []) {
      bounds[name] = () => this.call("bound", { grids, width, height, name });
    }
    return answer;
  }

  /** As the server's; the mask is pixels. */
  async refine({ id, file, mask }, points) {
    return this.call("refine", { id, file, mask, points });
  }
}

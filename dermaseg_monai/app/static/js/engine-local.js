// Engine two: no server. The network runs in this browser; photos never leave the device.

export class Engine {
  static async open(config, { call }) {
    const engine = new Engine();
    engine.call = call;
    engine.about = {
      default: config.bundle,
      refine: false,
      bundles: [{ name: config.bundle, task: "lesion", uncertainty: true }],
    };
    engine.opened = call("open", config);
    engine.opened.catch(() => {}); // told with the first photo
    // after the first visit the page works without a network
    navigator.serviceWorker?.register("sw.js").catch(() => {});
    return engine;
  }

  async segment(file) {
    await this.opened;
    return this.call("segment", { file, name: file.name });
  }
}

// ONNX Runtime Web, which runs networks in this browser.

/** Load it; `webgpu` asks for the GPU where the browser offers one. */
export async function openRuntime(webgpu) {
  const gpu = webgpu && "gpu" in navigator;
  const address = new URL(`../runtime/${gpu ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs"}`, import.meta.url);
  const ort = await import(address);
  ort.env.wasm.wasmPaths = new URL("./", address).href;
  // threads share memory, which browsers allow only to pages that are isolated by their server's headers
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  return new Runtime(ort, gpu ? ["webgpu", "wasm"] : ["wasm"]);
}

class Runtime {
  constructor(ort, executionProviders) {
    Object.assign(this, { ort, executionProviders });
  }

  /** The network in a file of the site. */
  async open(name) {
    const response = await fetch(new URL(`../${name}`, import.meta.url));
    const model = new Uint8Array(await response.arrayBuffer());
    return this.ort.InferenceSession.create(model, { executionProviders: this.executionProviders });
  }

  /** Floats as a network takes them. */
  tensor(values, shape) {
    return new this.ort.Tensor("float32", new Float32Array(values), shape);
  }
}

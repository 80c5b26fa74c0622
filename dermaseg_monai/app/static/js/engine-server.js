// Engine one: a server that segments.

import { Told } from "./calls.js";

const PATIENCE = 60; // tries of a busy server

export class Engine {
  /** `ask` gives the token that the server wants; `tell` hears of waiting. */
  static async open(config, { ask, tell }) {
    const engine = new Engine();
    Object.assign(engine, { ask, tell, token: config.token ? await ask() : null });
    engine.about = await (await engine.#fetch("api/bundles")).json();
    return engine;
  }

  /** Segment a photo; see the server's interface for what comes back. Pictures are blobs. */
  async segment(file, { bundle, attributes, preview }) {
    const answer = await this.#post("api/segment", {
      photos: [file, file.name],
      bundle,
      attributes: attributes || "",
      uncertainty: "true",
      bounds: "true",
      preview: String(preview),
    });
    const [photo] = answer.photos;
    if (photo.error) throw new Error(photo.error);
    return photo;
  }

  /** Add what is clicked at to a photo's mask, or take it away: `points` are [x, y, 1 or 0]. */
  async refine(photo, points) {
    return this.#post("api/refine", {
      photo: [photo.file, photo.name],
      mask: [await photo.picture(), "mask.png"],
      points: JSON.stringify(points),
    });
  }

  async #post(address, fields) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) {
      if (Array.isArray(value)) form.append(name, ...value);
      else form.append(name, value);
    }
    const response = await this.#fetch(address, { method: "POST", body: form, headers: { accept: "multipart/form-data" } });
    const parts = await response.formData();
    const pictures = (value) => {
      if (typeof value === "string" && parts.get(value) instanceof Blob) return parts.get(value);
      if (value && typeof value === "object") for (const key of Object.keys(value)) value[key] = pictures(value[key]);
      return value;
    };
    return pictures(JSON.parse(parts.get("answer")));
  }

  async #fetch(address, options = {}) {
    for (let attempt = 0; ; attempt++) {
      const headers = { ...options.headers, ...(this.token && { authorization: `Bearer ${this.token}` }) };
      const response = await fetch(address, { ...options, headers }).catch(() => {
        throw new Told("no_answer");
      });
      if (response.ok) return response;
      if (response.status === 401) {
        this.token = await this.ask();
        continue;
      }
      if ([429, 503].includes(response.status) && attempt < PATIENCE) {
        this.tell("queued");
        await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(response.headers.get("retry-after")) || 2)));
        continue;
      }
      if ((response.headers.get("content-type") ?? "").startsWith("multipart/form-data")) return response;
      const told = await response.json().catch(() => ({}));
      throw new Error(typeof told.detail === "string" ? told.detail : `${response.status} ${response.statusText}`);
    }
  }
}

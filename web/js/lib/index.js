// The package's face. Importing it does nothing: no request, no worker, no global.
import { check, codes, CropVLMError, typed } from "./errors.js";
import { byBrowser, sourceOf } from "./sources.js";
import { startWorker } from "./start.js";
import { platform } from "./platform.js";

export { codes, CropVLMError };
export { messages } from "./messages.js";
export { zoomTool } from "./zoom.js";

const DEVICES = ["auto", "webgpu", "cpu"];

export class CropVLM {
  #engine;
  #last;

  /** Use `CropVLM.load`. */
  constructor(engine) {
    this.#engine = engine;
  }

  /** Where it computes now: a graphics card that fails is not used again. */
  #where() {
    return this.#engine?.backend ?? this.#last;
  }

  get backend() {
    return this.#where().backend;
  }

  get adapter() {
    return this.#where().adapter;
  }

  get isFallback() {
    return this.#where().isFallback;
  }

  get reason() {
    return this.#where().reason;
  }

  get threads() {
    return this.#where().threads;
  }

  /** Loads code and model. */
  static async load(options = {}) {
    const { model = "default", device = "auto", worker = platform.workerByDefault } = options;
    const { threads, onProgress, signal, cache, wasmUrl, threadsUrl, modelUrl } = options;
    if (!DEVICES.includes(device)) throw new CropVLMError("bad-option", `device is ${device}: ${DEVICES.join(", ")}`);
    if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
      throw new CropVLMError("bad-option", `threads is ${threads}: a whole number of at least 1`);
    }
    check(signal);
    const order = {
      model: model === "default" ? model : absolute(model),
      device,
      threads,
      cache,
      wasmUrl: wasmUrl && absolute(wasmUrl),
      threadsUrl: threadsUrl && absolute(threadsUrl),
      modelUrl: modelUrl && absolute(modelUrl),
    };
    const hear = progress(onProgress);
    const thread = worker ? startWorker() : null;
    if (thread) {
      const { Remote } = await import("./remote.js");
      const remote = new Remote(thread);
      try {
        return new CropVLM(await remote.load(order, { signal, hear }));
      } catch (error) {
        await remote.dispose();
        throw typed(error);
      }
    }
    const { Core } = await import("./core.js");
    return new CropVLM(await Core.load(order, { signal, hear }));
  }

  /** Encodes a picture, for any number of questions. */
  async encode(image, { signal, within, onProgress } = {}) {
    const engine = this.#engine;
    if (!engine) throw new CropVLMError("disposed", "This instance was disposed of.");
    if (within !== undefined && !(Array.isArray(within) && within.length === 4)) {
      throw new CropVLMError("bad-option", "within is not [x1, y1, x2, y2] in percent");
    }
    const source = await sourceOf(image, signal);
    const hear = progress(onProgress);
    let found;
    try {
      found = await engine.encode(source, { within, signal, hear });
    } catch (error) {
      const pixels = error.code === "bad-image" && source instanceof Uint8Array ? await byBrowser(source) : null;
      if (!pixels) throw error;
      found = await engine.encode(pixels, { within, signal, hear });
    }
    return new EncodedImage(engine, found);
  }

  /** Proposes a box on an encoded picture. */
  ask(encoded, question, options) {
    return encoded.ask(question, options);
  }

  /** Encodes a picture and proposes the box to look at for a question. */
  async propose(image, question, options = {}) {
    const { signal, within, onProgress } = options;
    asked(question);
    const encoded = await this.encode(image, { signal, within, onProgress });
    try {
      const proposal = await encoded.ask(question, options);
      await hold(proposal, options);
      return proposal;
    } finally {
      encoded.dispose();
    }
  }

  /** Ends what is running and frees the memory. */
  async dispose() {
    const engine = this.#engine;
    this.#last = this.#where();
    this.#engine = undefined;
    await engine?.dispose();
  }

  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() {
    await this.dispose();
  }
}

/** A picture that the model has encoded. */
export class EncodedImage {
  #engine;
  #id;

  constructor(engine, { id, width, height }) {
    this.#engine = engine;
    this.#id = id;
    this.width = width;
    this.height = height;
  }

  /** Proposes the box to look at for a question. */
  async ask(question, options = {}) {
    asked(question);
    if (!this.#engine) throw new CropVLMError("disposed", "This picture was disposed of.");
    const { expand, topK, minSize, signal, onProgress } = options;
    for (const [name, value] of Object.entries({ topK, minSize })) {
      if (value !== undefined && !(Number.isInteger(value) && value >= 0)) {
        throw new CropVLMError("bad-option", `${name} is ${value}: a whole number of at least 0`);
      }
    }
    const hear = progress(onProgress);
    const found = await this.#engine.propose(this.#id, question, { expand, topK, minSize, signal, hear });
    const { type = "image/png", quality } = options;
    const cut = (as) => {
      if (!this.#engine) throw new CropVLMError("disposed", "The picture of this crop was disposed of.");
      return this.#engine.cut(this.#id, found.pixels, as);
    };
    let file;
    let pixels;
    return Object.assign(found, {
      blob: async () => new Blob([await (file ??= cut({ type, quality }))], { type }),
      imageData: async () => imageData(await (pixels ??= cut({}))),
    });
  }

  /** Frees the picture's memory. */
  dispose() {
    this.#engine?.release(this.#id);
    this.#engine = undefined;
  }
}

function asked(question) {
  if (typeof question !== "string" || !question.trim()) {
    throw new CropVLMError("empty-question", "The question is empty: say what you want to know about the picture.");
  }
}

/** Cuts the crop before its picture is freed. */
const hold = (proposal) => Promise.all([proposal.blob(), proposal.imageData()]);

function imageData({ width, height, data }) {
  const pixels = new Uint8ClampedArray(data.buffer, data.byteOffset, data.byteLength);
  if (typeof ImageData !== "undefined") return new ImageData(pixels, width, height);
  return { width, height, data: pixels, colorSpace: "srgb" };
}

/** Addresses are those of the page, not of a worker's file. */
const absolute = (url) => new URL(String(url), globalThis.location?.href ?? import.meta.url).href;

const progress = (onProgress) => onProgress && ((stage, done, total) => onProgress({ stage, done, total }));

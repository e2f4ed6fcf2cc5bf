// The engine on this thread: what the worker runs, and what runs where there is no worker.
import { aborted, check, CropVLMError, typed } from "./errors.js";
import { bytesOf } from "./fetching.js";
import { shipped } from "./model.js";
import { possible, startThreads } from "./threads.js";
import { wasm } from "./wasm.js";
import { platform } from "./platform.js";

/** Lets messages in: a worker hears of an abort only then. */
const pause = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

function caller(signal, hear) {
  return {
    hear: (stage, round) => hear?.(stage, round),
    cancelled: () => signal?.aborted ?? false,
    pause,
  };
}

export class Core {
  #glue;
  #core;
  #pages = new Map();
  #next = 1;
  #turn = Promise.resolve();

  /** Options as `CropVLM.load` has them, URLs absolute; `hear(stage, done, total)` hears stages. */
  static async load({ model, device, threads, cache, wasmUrl, threadsUrl, modelUrl }, { signal, hear } = {}) {
    check(signal);
    const core = new Core();
    try {
      core.#glue = await wasm({ url: wasmUrl, signal, progress: (done, total) => hear?.("code", done, total) });
      const store = cache === false ? undefined : `cropvlm-${shipped.version}`;
      const { config, weights } = await files({ model, modelUrl, cache: store, signal, hear });
      const call = caller(signal, (stage) => hear?.(stage, 0, null));
      core.#core = await core.#glue.Core.load(config, weights, device ?? "auto", call);
      await core.#spread(possible(threads), { url: threadsUrl, weights, signal });
    } catch (error) {
      check(signal);
      throw typed(error);
    }
    return core;
  }

  /** Has pictures encoded by several threads of the processor, where it computes there; by one, where they cannot be had. */
  async #spread(count, { url, weights, signal }) {
    if (count < 2 || this.backend.backend !== "cpu") return;
    try {
      const threads = await startThreads(count, { url, signal });
      this.#core.set_threads(threads.module, weights, threads.count);
    } catch {
      check(signal);
    }
  }

  get backend() {
    return JSON.parse(this.#core.backend());
  }

  /** One call at a time: two would only slow each other down. */
  #alone(signal, work) {
    const run = this.#turn.then(async () => {
      check(signal);
      if (!this.#core) throw new CropVLMError("disposed", "This instance was disposed of.");
      return work();
    });
    this.#turn = run.catch(() => {});
    return run.catch((error) => {
      if (error instanceof WebAssembly.RuntimeError) throw typed(error, "device-failed");
      throw typed(error);
    });
  }

  /** Encodes a picture: bytes of a file, or `{ width, height, data }`. */
  encode(source, { within, signal, hear } = {}) {
    return this.#alone(signal, async () => {
      const start = performance.now();
      hear?.("decode", 0, null);
      const picture =
        source instanceof Uint8Array
          ? this.#glue.Picture.decode(source)
          : this.#glue.Picture.of(source.width, source.height, source.data);
      const decode = performance.now() - start;
      try {
        const call = caller(signal, (stage) => hear?.(stage, 0, null));
        const page = await this.#core.encode(picture, new Float32Array(within ?? []), call);
        const id = this.#next++;
        this.#pages.set(id, { picture, page, decode });
        return { id, width: picture.width(), height: picture.height() };
      } catch (error) {
        picture.free();
        throw error;
      }
    });
  }

  /** Proposes a box on an encoded picture; with its crop's pixels. */
  propose(id, question, { expand, topK, minSize, signal, hear } = {}) {
    return this.#alone(signal, async () => {
      const known = this.#pages.get(id);
      if (!known) throw new CropVLMError("disposed", "This picture was disposed of.");
      const start = performance.now();
      const call = caller(signal, (stage) => hear?.(stage, 0, null));
      const answer = await this.#core.propose(known.page, question, expand ?? 1, topK ?? 3, minSize ?? 1, call);
      if (signal?.aborted) throw aborted(signal);
      const found = JSON.parse(answer);
      found.timings = { decode: known.decode, ...found.timings, ask: performance.now() - start };
      return found;
    });
  }

  /** A part of an encoded picture: `{ width, height, data }`, or a file's bytes. */
  cut(id, { x, y, width, height }, { type, quality } = {}) {
    return this.#alone(undefined, () => {
      const known = this.#pages.get(id);
      if (!known) throw new CropVLMError("disposed", "This picture was disposed of.");
      const crop = known.picture.crop(x, y, width, height);
      try {
        if (type) return crop.file(type, quality);
        return { width: crop.width(), height: crop.height(), data: crop.rgba() };
      } finally {
        crop.free();
      }
    });
  }

  /** Forgets an encoded picture. */
  release(id) {
    const known = this.#pages.get(id);
    this.#pages.delete(id);
    known?.page.free();
    known?.picture.free();
  }

  /** Forgets everything, after what is running. */
  dispose() {
    return this.#turn.then(() => {
      for (const id of [...this.#pages.keys()]) this.release(id);
      this.#core?.free();
      this.#core = undefined;
    });
  }
}

/** The model's two files. */
async function files({ model, modelUrl, cache, signal, hear }) {
  const progress = (done, total) => hear?.("model", done, total);
  const common = { signal, cache, progress, code: "bad-model" };
  if (!model || model === "default") {
    const expected = { bytes: shipped.bytes, sha256: shipped.sha256 };
    const weights = await bytesOf(modelUrl ?? platform.files.weights(), { ...common, expected });
    return { config: new TextEncoder().encode(shipped.config), weights };
  }
  const folder = model.endsWith("/") ? model : `${model}/`;
  const config = await bytesOf(new URL("config.json", folder).href, { signal, code: "bad-model" });
  // A folder's files may change: they are the browser's own cache's business.
  const weights = await bytesOf(modelUrl ?? new URL("model.safetensors", folder).href, { ...common, cache: undefined });
  return { config, weights };
}

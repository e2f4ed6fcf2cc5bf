// The engine in a worker, with the face that `Core` has.
import { aborted, CropVLMError } from "./errors.js";

export class Remote {
  #worker;
  #calls = new Map();
  #next = 1;
  #gone;
  backend;

  constructor(worker) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => this.#hear(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault?.();
      this.#end(new CropVLMError("internal", event.message || "The worker could not be started."));
    });
  }

  /** Loads the model in the worker. */
  async load(options, context) {
    await this.#call("load", options, context);
    return this;
  }

  encode(source, { within, signal, hear } = {}) {
    return this.#call("encode", { source, within }, { signal, hear });
  }

  propose(page, question, { signal, hear, ...options } = {}) {
    return this.#call("propose", { page, question, ...options }, { signal, hear });
  }

  cut(page, area, { type, quality } = {}) {
    return this.#call("cut", { page, area, type, quality });
  }

  release(page) {
    if (!this.#gone) this.#call("release", { page }).catch(() => {});
  }

  async dispose() {
    this.#end(new CropVLMError("disposed", "This instance was disposed of."));
  }

  #call(what, options, { signal, hear } = {}) {
    if (this.#gone) return Promise.reject(this.#gone);
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const call = this.#next++;
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#calls.delete(call);
        this.#worker.postMessage({ call, what: "abort" });
        reject(aborted(signal));
      };
      signal?.addEventListener("abort", stop, { once: true });
      const forget = () => signal?.removeEventListener("abort", stop);
      this.#calls.set(call, { resolve, reject, hear, forget });
      this.#worker.postMessage({ call, what, options });
    });
  }

  #hear({ call, event, value, error, backend }) {
    if (backend) this.backend = backend;
    const waiting = this.#calls.get(call);
    if (!waiting) {
      // The call was aborted, but its picture was encoded all the same.
      if (value?.id) this.release(value.id);
      return;
    }
    if (event) {
      waiting.hear?.(event.stage, event.done, event.total);
      return;
    }
    this.#calls.delete(call);
    waiting.forget();
    if (error) waiting.reject(new CropVLMError(error.code, error.message));
    else waiting.resolve(value);
  }

  #end(error) {
    if (this.#gone) return;
    this.#gone = error;
    this.#worker.terminate();
    for (const { reject, forget } of this.#calls.values()) {
      forget();
      reject(error);
    }
    this.#calls.clear();
  }
}

// What a browser has: files by fetch. Node's entry (`node.js`) puts its own ways in their place.
import { startOrImport } from "./blob.js";

export const platform = {
  /** The package's own files. Written so that Vite, webpack and others see them and carry them along. */
  files: {
    wasm: () => new URL("./cropvlm_bg.wasm", import.meta.url).href,
    threads: () => new URL("./cropvlm_threads_bg.wasm", import.meta.url).href,
    weights: () => new URL("./model/model.safetensors", import.meta.url).href,
  },

  /** A file's reply: bytes are read by whoever asked. */
  open: (url, signal) => fetch(url, { signal, credentials: "same-origin" }),

  /** By default the network runs in a worker: pages stay responsive. */
  workerByDefault: true,

  /** Threads that there can be: one where the page is not isolated, and on its own thread, which may not wait for others. */
  threads() {
    const may = globalThis.crossOriginIsolated && typeof document === "undefined";
    return may ? (globalThis.navigator?.hardwareConcurrency ?? 1) : 1;
  },

  /** Starts a thread on `{ module, memory }`: the promise that it is ready, and its end. */
  startThread(shared) {
    const start = () => new Worker(new URL("./thread.js", import.meta.url), { type: "module", name: "cropvlm thread" });
    const here = import.meta.url; // apart, so that bundlers do not carry the file along a second time
    const worker = startOrImport(start, "thread.js", here, "cropvlm thread");
    const ready = new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = (event) => {
        event.preventDefault?.();
        reject(new Error(event.message || "a thread did not start"));
      };
    });
    worker.postMessage(shared);
    return { ready, end: () => worker.terminate() };
  },
};

// What a browser has: files by fetch. Node's entry (`node.js`) puts its own ways in their place.

export const platform = {
  /** The package's own files. Written so that Vite, webpack and others see them and carry them along. */
  files: {
    wasm: () => new URL("./cropvlm_bg.wasm", import.meta.url).href,
    weights: () => new URL("./model/model.safetensors", import.meta.url).href,
  },

  /** A file's reply: bytes are read by whoever asked. */
  open: (url, signal) => fetch(url, { signal, credentials: "same-origin" }),

  /** By default the network runs in a worker: pages stay responsive. */
  workerByDefault: true,
};

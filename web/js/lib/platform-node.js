// What Node has: files of the disk, fetch, threads. No worker is started for the whole: a server has its own ways to spread work.
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { platform } from "./platform.js";

Object.assign(platform, {
  /** A file's reply; `file:` URLs, which fetch does not read, come from the disk. */
  async open(url, signal) {
    if (!url.startsWith("file:")) return fetch(url, { signal });
    try {
      return new Response(await readFile(new URL(url), { signal }));
    } catch (error) {
      if (error?.name === "AbortError") throw error;
      return new Response(error?.message ?? "", { status: 404, statusText: "cannot be read" });
    }
  },
  workerByDefault: false,

  threads: () => availableParallelism(),

  startThread(shared) {
    const worker = new Worker(new URL("./thread-node.js", import.meta.url), { workerData: shared });
    const ready = new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    // Nobody waits for a thread to end: a program ends when its own work is done.
    ready.then(() => worker.unref(), () => {});
    return { ready, end: () => worker.terminate() };
  },
});

// Starts the worker. Apart from what the worker itself imports: a bundler would follow it round and round.
import { startOrImport } from "./blob.js";

/** A worker that runs the package, or `null` where there are none. */
export function startWorker() {
  if (typeof Worker === "undefined") return null;
  const start = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "cropvlm" });
  const here = import.meta.url; // apart, so that bundlers do not carry the file along a second time
  try {
    return startOrImport(start, "worker.js", here, "cropvlm");
  } catch {
    return null;
  }
}

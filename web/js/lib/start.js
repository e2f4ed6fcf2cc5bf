// Starts the worker. Apart from what the worker itself imports: a bundler would follow it round and round.

/** A worker that runs the package, or `null` where there are none. */
export function startWorker() {
  if (typeof Worker === "undefined") return null;
  const start = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "cropvlm" });
  try {
    return start();
  } catch (error) {
    // From another origin (a CDN that was asked for) a worker starts only by way of a file of this origin.
    if (error?.name !== "SecurityError") return null;
    const here = import.meta.url; // apart, so that bundlers do not carry the file along a second time
    const code = `import ${JSON.stringify(new URL("worker.js", here).href)};`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    try {
      return new Worker(url, { type: "module", name: "cropvlm" });
    } catch {
      return null;
    } finally {
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    }
  }
}

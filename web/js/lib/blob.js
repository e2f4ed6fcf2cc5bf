// A worker from another origin (a CDN that was asked for): it starts only by way of a file of this origin.

/** Starts the worker, or a file of this origin that imports it. `file` is its name beside the module `here`. */
export function startOrImport(start, file, here, name) {
  try {
    return start();
  } catch (error) {
    if (error?.name !== "SecurityError") throw error;
    const code = `import ${JSON.stringify(new URL(file, here).href)};`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    try {
      return new Worker(url, { type: "module", name });
    } finally {
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    }
  }
}

// A module worker that owns an engine; `remote.js` talks to it.
import { Core } from "./core.js";
import { typed } from "./errors.js";

/** Calls that run, by number: to stop them. */
const running = new Map();
let core;

const work = {
  async load(options, context) {
    core = await Core.load(options, context);
  },
  encode: ({ source, within }, context) => core.encode(source, { within, ...context }),
  propose: ({ page, question, ...options }, context) => core.propose(page, question, { ...options, ...context }),
  cut: ({ page, area, type, quality }) => core.cut(page, area, { type, quality }),
  release: ({ page }) => core.release(page),
};

self.addEventListener("message", async ({ data }) => {
  const { call, what, options } = data;
  if (what === "abort") {
    running.get(call)?.abort();
    return;
  }
  const control = new AbortController();
  running.set(call, control);
  const hear = (stage, done, total) => self.postMessage({ call, event: { stage, done, total } });
  try {
    const value = await work[what](options, { signal: control.signal, hear });
    const pixels = value?.data?.buffer ?? value?.buffer;
    // Where it computes: on the processor from the call on at which a graphics card fails.
    self.postMessage({ call, value, backend: core?.backend }, pixels ? [pixels] : []);
  } catch (error) {
    const { code, message } = typed(error);
    self.postMessage({ call, error: { code, message } });
  } finally {
    running.delete(call);
  }
});

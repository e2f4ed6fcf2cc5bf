// Several threads of the processor: a module of their own, built with shared memory, that encodes pictures. What it finds is
// what one thread finds, to the bit.
import { bytesOf } from "./fetching.js";
import { platform } from "./platform.js";
import init, * as glue from "./cropvlm_threads.js";

/** More threads are not started: the network is too small to keep them busy. */
const MOST = 8;
/** Milliseconds that they have to start. */
const PATIENCE = 5_000;

/** One on each thread of JavaScript, however many instances are there. */
let pool;

/** Threads that there can be here, `most` at most: one where memory may not be shared. */
export function possible(most = MOST) {
  return Math.min(platform.threads(), most, MOST);
}

/** The module's functions and how many threads it has: `count`, or as many as it was first started with. */
export function startThreads(count, { url, signal } = {}) {
  const from = url ?? platform.files.threads();
  pool ??= start(count, from, signal).catch((error) => {
    pool = undefined; // the next instance tries anew
    throw error;
  });
  return pool;
}

async function start(count, url, signal) {
  // Compiled once, for all threads.
  const module = await WebAssembly.compile(await bytesOf(url, { signal }));
  const { memory } = await init({ module_or_path: module });
  const shared = { module, memory };
  const threads = Array.from({ length: count - 1 }, () => platform.startThread(shared));
  let clock;
  const late = new Promise((_, reject) => {
    clock = setTimeout(() => reject(new Error("the threads did not start in time")), PATIENCE);
  });
  try {
    await Promise.race([Promise.all(threads.map(({ ready }) => ready)), late]);
    glue.start_pool(count);
    return { module: glue, count };
  } catch (error) {
    for (const thread of threads) thread.end();
    throw error;
  } finally {
    clearTimeout(clock);
  }
}

// `thread.js` in Node.
import { parentPort, workerData } from "node:worker_threads";
import init, { run_thread } from "./cropvlm_threads.js";

const { module, memory } = workerData;
await init({ module_or_path: module, memory });
parentPort.postMessage("ready");
run_thread();

// One thread of `cropvlm_threads`: joins the memory that it is sent, and computes.
import init, { run_thread } from "./cropvlm_threads.js";

self.onmessage = async ({ data: { module, memory } }) => {
  await init({ module_or_path: module, memory });
  self.postMessage("ready");
  run_thread();
};

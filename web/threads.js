// One thread of a module that is built with shared memory (web/threads, web/smolvlm): joins the memory that it is sent, and
// computes.
self.onmessage = async ({ data: { address, module, memory } }) => {
  const { default: init, run_thread } = await import(address);
  await init({ module_or_path: module, memory });
  self.postMessage('ready');
  run_thread();
};

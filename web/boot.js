// Starts the worker and the page module, side by side. What goes wrong here, the script in index.html says.
import init from './page.js';
// The page takes the worker over when it runs, with what it has said until then (web/src/page/link.rs).
const { build } = document.documentElement.dataset;
const worker = new Worker(`./worker_loader.js${build ? `?build=${build}` : ''}`, { type: 'module' });
const heard = [];
worker.onmessage = worker.onerror = (event) => heard.push(event);
globalThis.early = { worker, heard };
await init({ module_or_path: './page_bg.wasm' });
document.documentElement.dataset.started = '';
// The page works without it.
await import('./offline.js').catch((error) => console.info('no offline use:', error.message));

// Starts the page module. A file of its own, because the content security policy forbids inline scripts.
import init from './page.js';
await init({ module_or_path: './page_bg.wasm' });
await import('./offline.js');

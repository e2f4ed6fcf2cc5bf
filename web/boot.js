// Starts the page module. What goes wrong here, the script in index.html says.
import init from './page.js';
await init({ module_or_path: './page_bg.wasm' });
document.documentElement.dataset.started = '';
// The page works without it.
await import('./offline.js').catch((error) => console.info('no offline use:', error.message));

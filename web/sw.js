// The page without a connection, and cross-origin isolated on hosts that send no headers.
//
// `cargo xtask page` puts the list of files with their hashes in place of FILES below; another build is another
// service worker. Files are kept under their hash: an update fetches only what has changed, and a page never mixes two
// builds. Only these files are ever answered or kept. Everything else, requests to providers and pictures from the web
// above all, goes its own way as if this worker were not there.
const FILES = {/* FILES */};
const CACHE = 'cropvlm';
const scope = new URL(self.registration.scope);
const keyOf = (name) => new URL(`${name}?v=${FILES[name]}`, scope).href;

self.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    await Promise.all(Object.keys(FILES).map(async (name) => {
      const key = keyOf(name);
      if (await cache.match(key)) return;
      const response = await fetch(key, { cache: 'no-cache', credentials: 'omit' });
      if (!response.ok) throw new Error(`${name}: status ${response.status}`);
      await cache.put(key, response);
    }));
  })());
});

self.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    const wanted = new Set(Object.keys(FILES).map(keyOf));
    for (const { url } of await cache.keys()) if (!wanted.has(url)) await cache.delete(url);
  })());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const name = url.pathname.slice(scope.pathname.length) || 'index.html';
  if (Object.hasOwn(FILES, name)) event.respondWith(answer(request, name));
});

// The page asks for it when the person wants the newer version.
self.addEventListener('message', (event) => {
  if (event.data === 'take over') self.skipWaiting();
});

async function answer(request, name) {
  const cache = await caches.open(CACHE);
  const response = (await cache.match(keyOf(name))) ?? (await fetch(request));
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  // Not `require-corp`: what the page loads from elsewhere need not know of it.
  headers.set('Cross-Origin-Embedder-Policy', 'credentialless');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

// The page without a connection, and cross-origin isolated on hosts that send no headers.
//
// `cargo xtask page` puts the list of files in place of FILES below: name, SHA-256 and length of each; another build is
// another service worker. Files are kept under their hash, so that an update fetches only what has changed and a page
// never mixes two builds. A file is kept, and given out, only when type, length and hash are right: what a host sends in
// place of a missing file, what broke off and what was changed on the way is neither. What turns out broken is dropped
// and fetched again; where the host has another build by now, this worker retires and the page comes from the host.
// Only these files are ever answered or kept. Everything else, requests to providers and pictures from the web above
// all, goes its own way as if this worker were not there.
const FILES = {/* FILES */};
// Wanted by few, and large: kept when it has been fetched, and fetched anew with a newer version by who has it.
const isLater = (name) => /^(trainable|smolvlm|smolvlm-threads)\//.test(name);
const CACHE = 'cropvlm';
// By the end of a file's name: the type it is given out with, and what a host may call it.
const TYPES = {
  html: ['text/html; charset=utf-8', /^text\/html$/],
  js: ['text/javascript', /(java|ecma)script$/],
  css: ['text/css', /^text\/css$/],
  wasm: ['application/wasm', /^application\/(wasm|octet-stream)$/],
  json: ['application/json', /^(?!text\/html)/],
  webmanifest: ['application/manifest+json', /^(?!text\/html)/],
  svg: ['image/svg+xml', /^(?!text\/html)/],
  jpg: ['image/jpeg', /^(?!text\/html)/],
  png: ['image/png', /^(?!text\/html)/],
};
const OTHER = ['application/octet-stream', /^(?!text\/html)/];
const scope = new URL(self.registration.scope);
const keyOf = (name) => new URL(`${name}?v=${FILES[name][0].slice(0, 16)}`, scope).href;
// Nothing is answered any more.
let retired = false;

self.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    const old = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname.slice(scope.pathname.length)));
    await Promise.all(Object.keys(FILES).map(async (name) => {
      if ((isLater(name) && !old.has(name)) || await kept(cache, name)) return;
      const response = await fetch(keyOf(name), { cache: 'no-cache', credentials: 'omit' });
      await cache.put(keyOf(name), await checked(name, response));
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
  if (retired || request.method !== 'GET' || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const name = url.pathname.slice(scope.pathname.length) || 'index.html';
  if (Object.hasOwn(FILES, name)) event.respondWith(answer(event, name));
});

// The page asks for it when the person wants the newer version.
self.addEventListener('message', (event) => {
  if (event.data === 'take over') self.skipWaiting();
});

async function answer(event, name) {
  const cache = await caches.open(CACHE);
  let file = await kept(cache, name);
  if (!file) {
    const response = await fetch(keyOf(name), { cache: 'reload', credentials: 'omit' });
    if (response.status >= 500) return response;
    try {
      file = await checked(name, response);
    } catch (error) {
      console.warn(`the copy of this page cannot be mended: ${error.message}`);
      return retire(event);
    }
    event.waitUntil(cache.put(keyOf(name), file.clone()));
  }
  const headers = new Headers(file.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  // Not `require-corp`: what the page loads from elsewhere need not know of it.
  headers.set('Cross-Origin-Embedder-Policy', 'credentialless');
  return new Response(file.body, { headers });
}

/** A kept file, if it is right; dropped, if it is not. */
async function kept(cache, name) {
  const response = await cache.match(keyOf(name));
  if (!response) return null;
  try {
    return await checked(name, response);
  } catch (error) {
    console.warn(`dropped from the copy of this page: ${error.message}`);
    await cache.delete(keyOf(name));
    return null;
  }
}

/** The file in a response; throws unless type, length and hash are those of the list. */
async function checked(name, response) {
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  const [hash, length] = FILES[name];
  const [type, named] = TYPES[name.split('.').pop()] ?? OTHER;
  const called = (response.headers.get('Content-Type') ?? '').split(';')[0].trim().toLowerCase();
  if (!named.test(called)) throw new Error(`${name} came as ${called || 'nothing known'}`);
  const bytes = await response.arrayBuffer();
  if (bytes.byteLength !== length) throw new Error(`${name} has ${bytes.byteLength} bytes instead of ${length}`);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (found !== hash) throw new Error(`${name} has other bytes than this build`);
  return new Response(bytes, { headers: { 'Content-Type': type } });
}

/** The host has another build: nothing of this one is given out any more, and the page that waits begins anew. */
async function retire(event) {
  retired = true;
  await caches.delete(CACHE);
  await self.registration.unregister();
  if (event.request.mode === 'navigate') return fetch(event.request);
  const client = await self.clients.get(event.clientId);
  // Without its fragment: with it, an address would only be scrolled to.
  if (client?.navigate) event.waitUntil(client.navigate(client.url.split('#')[0]).catch(() => {}));
  return Response.error();
}

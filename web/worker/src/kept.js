// Large files in the browser's cache storage: see kept.rs. A file is kept in pieces as it comes (`?piece=0`, 1, ...), each with what its
// host said of the file. So one whose connection breaks goes on behind its last piece, at once or at the next visit.

const NAME = 'cropvlm-models';
/** Bytes of a piece: what may have to be fetched again after the tab was closed. */
const PIECE = 16 << 20;
/** Connections that may break, and the pause after the first one in milliseconds; it doubles. */
const TRIES = 4;
const PAUSE = 500;
/** What a host says of a file by which the same one is known again. */
const MARKS = ['etag', 'last-modified'];

async function storage() {
  try { return await caches.open(NAME); } catch { return undefined; }
}

/** A file from its host: the browser's own cache would keep it a second time, and go on by itself where it broke. */
const anew = (url, headers = {}) => fetch(url, { headers, cache: 'no-store' });

/** Address under which a piece is kept. */
function place(url, number) {
  const address = new URL(url, self.location.href);
  address.searchParams.set('piece', number);
  return address.href;
}

/** Whether two replies are about the same file, as far as both say. */
const alike = (one, other) => MARKS.every((name) => {
  const [a, b] = [one.get(name), other.get(name)];
  return a === null || b === null || a === b;
});

/** What is kept of a file: its pieces, their bytes, whether the last one is among them, what its host said. */
async function begun(kept, url) {
  const found = { pieces: [], bytes: 0, whole: false, headers: undefined, total: undefined };
  while (!found.whole) {
    const piece = await kept.match(place(url, found.pieces.length));
    if (!piece) break;
    found.headers ??= piece.headers;
    found.total ??= Number(piece.headers.get('x-total')) || undefined;
    found.whole = piece.headers.has('x-last');
    found.bytes += Number(piece.headers.get('content-length'));
    found.pieces.push(piece);
  }
  return found;
}

async function drop(kept, url) {
  for (let number = 0; await kept.delete(place(url, number)); number++);
}

/** The whole file as one reply, piece after piece. */
function together({ pieces, bytes, headers }) {
  let [at, reader] = [0, undefined];
  const body = new ReadableStream({
    async pull(to) {
      for (;;) {
        reader ??= pieces[at]?.body?.getReader();
        if (!reader) return to.close();
        const { done, value } = await reader.read();
        if (!done) return to.enqueue(value);
        [at, reader] = [at + 1, undefined];
      }
    },
  });
  return new Response(body, { headers: { 'content-length': bytes, 'content-type': headers.get('content-type') ?? '' } });
}

/** Whether the host still has the file that is kept; where no host answers, it is as good as that. */
async function current({ headers, bytes }, url) {
  let now;
  try { now = await fetch(url, { method: 'HEAD', cache: 'no-cache' }); } catch { return true; }
  const length = now.headers.get('content-length');
  // Of a file that comes compressed the length is another one.
  const packed = now.headers.has('content-encoding') || headers.get('x-total') === '';
  return now.ok && alike(headers, now.headers) && (packed || length === null || Number(length) === bytes);
}

/** Whether a reply goes on behind what is kept of the same file. */
function goesOn(before, response) {
  if (response.status !== 206 || !alike(before.headers, response.headers)) return false;
  const left = Number(response.headers.get('content-length')) || undefined;
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
  const total = range ? Number(range[2]) : left && before.bytes + left;
  return (!range || Number(range[1]) === before.bytes) && total === before.total;
}

/** Keeps what comes behind `before`; whether all of it came. No room is an error. */
async function take(kept, url, before, response, progress) {
  const packed = response.headers.has('content-encoding');
  const length = Number(response.headers.get('content-length')) || undefined;
  const total = before.total ?? (packed ? undefined : length);
  const said = [...MARKS, 'content-type'].map((name) => [name, (before.headers ?? response.headers).get(name)]);
  let [number, received, some, size] = [before.pieces.length, before.bytes, [], 0];
  const keep = async (last) => {
    const headers = new Headers(said.filter(([, value]) => value !== null));
    headers.set('content-length', size);
    headers.set('x-total', total ?? '');
    if (last) headers.set('x-last', '');
    const piece = new Response(new Blob(some), { headers });
    [some, size] = [[], 0];
    await kept.put(place(url, number++), piece);
  };
  progress(received, total);
  const reader = response.body.getReader();
  for (;;) {
    let part;
    try { part = await reader.read(); } catch { break; }
    if (part.done) {
      if (received < total) break;
      await keep(true);
      return true;
    }
    some.push(part.value);
    size += part.value.byteLength;
    received += part.value.byteLength;
    progress(received, total);
    if (size >= PIECE) await keep(false);
  }
  // Of a compressed file nobody can ask for the rest.
  if (size && total !== undefined) await keep(false);
  return false;
}

/** The reply for an address, and whether `progress` (bytes here, bytes in all) has heard of it. Of several tabs one fetches a file. */
export function fetchKept(url, progress) {
  const work = () => fetchAlone(url, progress);
  return navigator.locks ? navigator.locks.request(`${NAME} ${url}`, work) : work();
}

async function fetchAlone(url, progress) {
  const kept = await storage();
  if (!kept) return [await fetch(url), false];
  let before = await begun(kept, url);
  if (before.whole) {
    if (await current(before, url)) return [together(before), false];
    await drop(kept, url);
    before = await begun(kept, url);
  }
  for (let tries = 0; tries < TRIES; tries++) {
    let response;
    try {
      response = await anew(url, before.bytes ? { range: `bytes=${before.bytes}-` } : {});
    } catch (why) {
      // Nothing answers: what has come stays for the next visit.
      if (!tries) throw why;
    }
    if (response && before.bytes && !goesOn(before, response)) {
      await drop(kept, url);
      before = await begun(kept, url);
      if (response.status !== 200) response = await anew(url);
    }
    if (response) {
      if (!response.ok || !response.body) return [response, false];
      try {
        if (await take(kept, url, before, response, progress)) {
          const all = await begun(kept, url);
          if (all.whole) return [together(all), true];
        }
      } catch {
        // No room: it comes anew each time.
        await drop(kept, url);
        return [await fetch(url), false];
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, PAUSE * 2 ** tries); });
    before = await begun(kept, url);
  }
  throw 'the connection broke; the next try goes on from there';
}

/** Drops what is kept of a folder. */
export async function forgetKept(folder) {
  const kept = await storage();
  const start = new URL(folder, self.location.href).href;
  for (const request of (await kept?.keys()) ?? []) if (request.url.startsWith(start)) await kept.delete(request);
}

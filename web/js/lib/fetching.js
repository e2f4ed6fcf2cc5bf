// Files of the package and of models: with progress, checked before they are used or kept.
import { check, CropVLMError, typed } from "./errors.js";
import { platform } from "./platform.js";

/**
 * Bytes of a file. `expected` may hold `bytes` and `sha256`; `cache` is the name of a cache to keep it in; `progress` hears
 * bytes that are there and bytes in all (or null).
 */
export async function bytesOf(url, { signal, expected, cache, progress, code = "network" } = {}) {
  check(signal);
  const store = await opened(cache, url);
  const kept = await store?.match(url).catch(() => undefined);
  if (kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    if (!(await wrong(bytes, expected))) {
      progress?.(bytes.length, bytes.length);
      return bytes;
    }
    await store.delete(url).catch(() => {});
  }
  const bytes = await fetched(url, { signal, expected, progress, code });
  const problem = await wrong(bytes, expected);
  if (problem) throw new CropVLMError(code, `${url}: ${problem}`);
  await store?.put(url, new Response(bytes)).catch(() => {}); // storage may be full or blocked
  return bytes;
}

async function fetched(url, { signal, expected, progress, code }) {
  let reply;
  try {
    reply = await platform.open(url, signal);
  } catch (error) {
    check(signal);
    throw typed(error, "network");
  }
  if (!reply.ok) throw new CropVLMError("network", `${url}: the server answered ${reply.status} ${reply.statusText}`.trim());
  if (/^text\/html/i.test(reply.headers.get("content-type") ?? "")) {
    await reply.body?.cancel().catch(() => {});
    throw new CropVLMError(code, `${url}: a web page came in place of the file (is the path right?)`);
  }
  // Of a compressed reply the header counts other bytes than those that arrive.
  const header = reply.headers.get("content-encoding") ? NaN : Number(reply.headers.get("content-length"));
  const total = expected?.bytes ?? (header > 0 ? header : null);
  const parts = [];
  let done = 0;
  try {
    const reader = reply.body.getReader();
    for (;;) {
      const { value, done: ended } = await reader.read();
      if (ended) break;
      parts.push(value);
      done += value.length;
      progress?.(done, total === null ? null : Math.max(total, done));
    }
  } catch (error) {
    check(signal);
    throw typed(error, "network");
  }
  if (parts.length === 1) return parts[0];
  const bytes = new Uint8Array(done);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** What is wrong with a file, or undefined. */
async function wrong(bytes, expected) {
  if (expected?.bytes !== undefined && bytes.length !== expected.bytes) {
    return `${bytes.length} bytes came, ${expected.bytes} were expected (another version, or a part of the file)`;
  }
  // Only secure contexts can compute hashes.
  if (expected?.sha256 && globalThis.crypto?.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (found !== expected.sha256) return `its hash is ${found}, ${expected.sha256} was expected`;
  }
  return undefined;
}

async function opened(name, url) {
  if (!name || !/^https?:/.test(url)) return undefined;
  try {
    return await globalThis.caches?.open(name);
  } catch {
    return undefined; // blocked
  }
}

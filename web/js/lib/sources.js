// Pictures as people have them, made ready for the engine: bytes of a file, or pixels.
import { aborted, check, CropVLMError, typed } from "./errors.js";

const is = (name, value) => typeof globalThis[name] !== "undefined" && value instanceof globalThis[name];

/** Bytes of a file as a Uint8Array, or `{ width, height, data }`. */
export async function sourceOf(image, signal) {
  check(signal);
  if (typeof image === "string" || is("URL", image)) return fetched(String(image), signal);
  if (is("Blob", image)) return new Uint8Array(await image.arrayBuffer());
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  // A copy: the bytes travel to the worker, and are still their owner's.
  if (ArrayBuffer.isView(image) && !is("ImageData", image)) {
    return new Uint8Array(image.buffer, image.byteOffset, image.byteLength).slice();
  }
  if (is("ImageData", image) || (image?.data && image.width && image.height)) {
    return { width: image.width, height: image.height, data: new Uint8Array(image.data) };
  }
  const [width, height] = sizeOf(image);
  if (!width || !height) {
    throw new CropVLMError("bad-image", "This is no picture that can be read, or one that is not loaded yet.");
  }
  return pixelsOf(image, width, height);
}

async function fetched(url, signal) {
  let reply;
  try {
    reply = await fetch(url, { signal });
    if (!reply.ok) throw new CropVLMError("network", `${url}: the server answered ${reply.status}`);
    return new Uint8Array(await reply.arrayBuffer());
  } catch (error) {
    if (signal?.aborted) throw aborted(signal);
    throw typed(error, "network");
  }
}

/** Width and height of what can be drawn on a canvas. */
function sizeOf(image) {
  if (is("HTMLImageElement", image)) return [image.naturalWidth, image.naturalHeight];
  if (is("HTMLVideoElement", image)) return [image.videoWidth, image.videoHeight];
  if (is("VideoFrame", image)) return [image.displayWidth, image.displayHeight];
  return [image?.width, image?.height];
}

/** Pixels of something that the browser draws. */
export function pixelsOf(image, width, height) {
  let canvas;
  if (typeof OffscreenCanvas !== "undefined") canvas = new OffscreenCanvas(width, height);
  else canvas = Object.assign(document.createElement("canvas"), { width, height });
  try {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    return { width, height, data: new Uint8Array(data.buffer) };
  } catch (error) {
    const tainted = error?.name === "SecurityError";
    throw typed(error, tainted ? "cross-origin" : "bad-image");
  }
}

/** What the browser makes of a file that the engine does not read (HEIC, AVIF); null where it reads neither. */
export async function byBrowser(bytes) {
  if (typeof createImageBitmap === "undefined") return null;
  try {
    const bitmap = await createImageBitmap(new Blob([bytes]));
    try {
      return pixelsOf(bitmap, bitmap.width, bitmap.height);
    } finally {
      bitmap.close();
    }
  } catch {
    return null;
  }
}

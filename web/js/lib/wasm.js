// The WebAssembly module, loaded once however many instances there are.
import { CropVLMError, typed } from "./errors.js";
import { bytesOf } from "./fetching.js";
import { platform } from "./platform.js";
import init, * as glue from "./cropvlm.js";

// A module of one function that splats a vector: valid only where there is SIMD.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

let loading;

/** The module's functions. */
export async function wasm({ url, signal, progress } = {}) {
  if (typeof WebAssembly === "undefined") {
    throw new CropVLMError("no-wasm", "WebAssembly is missing or switched off here.");
  }
  if (!WebAssembly.validate(SIMD)) {
    throw new CropVLMError("no-simd", "WebAssembly has no SIMD here: browsers have it since 2021 (Safari since 16.4).");
  }
  const from = url ?? platform.files.wasm();
  loading ??= load(from, { signal, progress }).catch((error) => {
    loading = undefined; // the next call tries anew
    throw error;
  });
  await loading;
  return glue;
}

async function load(url, { signal, progress }) {
  const bytes = await bytesOf(url, { signal, progress });
  try {
    await init({ module_or_path: bytes });
  } catch (error) {
    throw typed(error, "no-wasm");
  }
}

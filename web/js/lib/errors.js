// The one error type of the package: `code` does not change with the wording.

/** Codes that an error may have. */
export const codes = Object.freeze([
  "aborted",
  "bad-image",
  "bad-model",
  "bad-option",
  "cross-origin",
  "device-failed",
  "disposed",
  "empty-question",
  "image-too-large",
  "internal",
  "network",
  "no-simd",
  "no-wasm",
]);

export class CropVLMError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = code === "aborted" ? "AbortError" : "CropVLMError";
    this.code = code;
  }
}

/** Any error as one of the package's. */
export function typed(error, code = "internal") {
  if (error instanceof CropVLMError) return error;
  const known = codes.includes(error?.code) ? error.code : error?.name === "AbortError" ? "aborted" : code;
  return new CropVLMError(known, error?.message ?? String(error), { cause: error });
}

/** Throws where a signal is aborted. */
export function check(signal) {
  if (signal?.aborted) throw aborted(signal);
}

export function aborted(signal) {
  return new CropVLMError("aborted", "The call was aborted.", { cause: signal?.reason });
}

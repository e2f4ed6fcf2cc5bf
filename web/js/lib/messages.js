// Message parts for providers, and what their pictures cost.
import { CropVLMError, typed } from "./errors.js";
import { sourceOf } from "./sources.js";
import { wasm } from "./wasm.js";

const DETAILS = ["full+crop", "small+crop", "full"];
/** Longest side of the small picture that goes with a crop, pixels. */
const SMALL = 512;
/** Files that providers take as they are. */
const TAKEN = [[0x89, 0x50], [0xff, 0xd8], [0x47, 0x49], [0x52, 0x49]];

/**
 * The messages that ask a question about a picture and its crop, in a provider's language, and the tokens that the provider
 * counts for the pictures.
 */
export async function messages(provider, { image, question, proposal, detail, model = "", wasmUrl, signal } = {}) {
  detail ??= proposal ? "full+crop" : "full";
  if (!DETAILS.includes(detail)) throw new CropVLMError("bad-option", `detail is ${detail}: ${DETAILS.join(", ")}`);
  if (detail !== "full" && !proposal) throw new CropVLMError("bad-option", `detail is ${detail}, but there is no proposal`);
  const glue = await wasm({ url: wasmUrl, signal });
  const source = await sourceOf(image, signal);
  let picture;
  try {
    const isFile = source instanceof Uint8Array;
    picture = isFile ? glue.Picture.decode(source) : glue.Picture.of(source.width, source.height, source.data);
    const small = picture.shrunk(SMALL);
    let file;
    if (detail === "small+crop") file = small.file("image/jpeg");
    else if (isFile && TAKEN.some((start) => start.every((byte, i) => source[i] === byte))) file = source;
    else file = picture.file("image/png");
    const sizes = { full: [picture.width(), picture.height()], small: [small.width(), small.height()] };
    small.free();
    const crop = detail === "full" ? new Uint8Array() : new Uint8Array(await (await proposal.blob()).arrayBuffer());
    const cut = proposal ? [proposal.pixels.width, proposal.pixels.height] : null;
    const count = (...shown) => glue.tokens(provider, model, new Uint32Array(shown.flat())) ?? null;
    return {
      messages: JSON.parse(glue.messages(provider, question ?? "", file, crop)),
      tokens: {
        full: count(sizes.full),
        fullAndCrop: cut && count(sizes.full, cut),
        smallAndCrop: cut && count(sizes.small, cut),
      },
    };
  } catch (error) {
    throw typed(error);
  } finally {
    picture?.free();
  }
}

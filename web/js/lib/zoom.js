// A tool for agents: a model that calls tools asks for a part of the picture, and gets it from the original pixels.
import { CropVLMError, typed } from "./errors.js";
import { sourceOf } from "./sources.js";
import { wasm } from "./wasm.js";

const FORMATS = ["openai", "openai-responses", "anthropic", "gemini", "mistral", "ai-sdk"];

/**
 * The definition of a `zoom` tool in a provider's format, and its executor. `units`: 100 for boxes in percent, 1000 for
 * boxes from 0 to 1000. `maxPixels` bounds a crop; `crop`, a `CropVLM`, lets the model ask for a place by a question.
 */
export function zoomTool({ format = "openai", units = 100, maxPixels = 1_048_576, crop, wasmUrl } = {}) {
  if (!FORMATS.includes(format)) throw new CropVLMError("bad-option", `format is ${format}: ${FORMATS.join(", ")}`);
  if (units !== 100 && units !== 1000) throw new CropVLMError("bad-option", `units is ${units}: 100 or 1000`);
  const measure = units === 100 ? "percent of the picture's width and height" : "from 0 to 1000 across and down the picture";
  const description =
    "Look closer at a part of the picture. Gives that part in its original resolution." +
    (crop ? " Name the part by its box, or ask a question and the part that helps to answer it is found." : "");
  const properties = {
    box: { type: "array", items: { type: "number" }, description: `Left, top, right, bottom; ${measure}.` },
  };
  if (crop) properties.question = { type: "string", description: "What you want to know about the picture." };
  const parameters = { type: "object", properties, required: crop ? [] : ["box"], additionalProperties: false };
  return {
    definition: defined(format, description, parameters),
    execute: (image, input, options) => execute(image, input ?? {}, { units, maxPixels, crop, wasmUrl, ...options }),
  };
}

function defined(format, description, parameters) {
  const name = "zoom";
  switch (format) {
    case "openai-responses":
      return { type: "function", name, description, parameters };
    case "anthropic":
      return { name, description, input_schema: parameters };
    case "gemini": {
      const { additionalProperties, ...schema } = parameters; // Gemini refuses it
      return { name, description, parameters: schema };
    }
    case "ai-sdk":
      return { name, description, inputSchema: parameters };
    default:
      return { type: "function", function: { name, description, parameters } };
  }
}

/** What the tool gives: the crop as a Blob, its box in the tool's units and in pixels, and a sentence for the model. */
async function execute(image, input, { units, maxPixels, crop, wasmUrl, signal, type = "image/png", quality }) {
  const glue = await wasm({ url: wasmUrl, signal });
  const source = await sourceOf(image, signal);
  let picture;
  let part;
  let small;
  try {
    picture =
      source instanceof Uint8Array
        ? glue.Picture.decode(source)
        : glue.Picture.of(source.width, source.height, source.data);
    const size = [picture.width(), picture.height()];
    let box = input.box;
    if (box === undefined && crop && input.question) {
      const found = await crop.propose(source, input.question, { signal, topK: 0 });
      box = found.box.map((edge) => (edge * units) / 100);
    }
    const clamped = clamp(box, units, size);
    const edges = clamped.map((edge, i) => (edge / units) * size[i % 2]);
    const [x, y] = [Math.floor(edges[0]), Math.floor(edges[1])];
    const [width, height] = [Math.max(1, Math.ceil(edges[2]) - x), Math.max(1, Math.ceil(edges[3]) - y)];
    part = picture.crop(x, y, width, height);
    const longest = Math.max(width, height) * Math.min(1, Math.sqrt(maxPixels / (width * height)));
    small = part.shrunk(Math.max(1, Math.floor(longest)));
    const shown = [small.width(), small.height()];
    return {
      blob: new Blob([small.file(type, quality)], { type }),
      box: clamped,
      pixels: { x, y, width, height },
      text: `The part ${JSON.stringify(clamped)} of the picture (${size[0]} x ${size[1]} pixels), shown with ${shown[0]} x ${shown[1]} pixels.`,
    };
  } catch (error) {
    throw typed(error);
  } finally {
    picture?.free();
    part?.free();
    small?.free();
  }
}

/** A box inside the picture; an error that a model can act on. */
function clamp(box, units, [width, height]) {
  const wanted = `[left, top, right, bottom], each from 0 to ${units}, of a picture of ${width} x ${height} pixels`;
  if (!Array.isArray(box) || box.length !== 4 || !box.every((edge) => Number.isFinite(edge))) {
    throw new CropVLMError("bad-option", `box is ${JSON.stringify(box)}: give ${wanted}.`);
  }
  const [x1, y1, x2, y2] = box.map((edge) => Math.min(Math.max(edge, 0), units));
  if (!(x2 > x1 && y2 > y1)) {
    throw new CropVLMError("bad-option", `box is ${JSON.stringify(box)}, which holds nothing: give ${wanted}.`);
  }
  return [x1, y1, x2, y2];
}

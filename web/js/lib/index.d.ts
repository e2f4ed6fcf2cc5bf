/** A picture: a file, what a browser draws, pixels, an address, or (in Node, too) a file's bytes. */
export type ImageInput =
  | Blob
  | ArrayBuffer
  | Uint8Array
  | { readonly width: number; readonly height: number; readonly data: Uint8ClampedArray | Uint8Array }
  | ImageBitmap
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLImageElement
  | HTMLVideoElement
  | VideoFrame
  | URL
  | string;

/** Left, top, right, bottom in percent of the picture's width and height. */
export type Box = [x1: number, y1: number, x2: number, y2: number];

/** A part of the picture in its own pixels. */
export interface Pixels {
  x: number;
  y: number;
  width: number;
  height: number;
}

export type ErrorCode =
  | "aborted"
  | "bad-image"
  | "bad-model"
  | "bad-option"
  | "cross-origin"
  | "device-failed"
  | "disposed"
  | "empty-question"
  | "image-too-large"
  | "internal"
  | "network"
  | "no-simd"
  | "no-wasm";

/** All codes. */
export const codes: readonly ErrorCode[];

/** Every error of this package. `name` is `AbortError` where `code` is `aborted`. */
export class CropVLMError extends Error {
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
  readonly code: ErrorCode;
}

/** What happens now: `code` and `model` are fetched with bytes in `done` of `total` (null where nobody knows). */
export interface Progress {
  stage: "code" | "model" | "load" | "ready" | "decode" | "encode" | "propose";
  done: number;
  total: number | null;
}

export interface LoadOptions {
  /** `"default"`, the model of the package, or the address of a folder with `config.json` and `model.safetensors`. */
  model?: "default" | (string & {});
  /** Where to compute. `"auto"`: on a graphics card where that is measured to be faster. `"webgpu"` falls back to the processor,
   * and `isFallback` says so. */
  device?: "auto" | "webgpu" | "cpu";
  /** Threads of the processor at most, 8 where nothing is said. There are several in Node and, in a browser, in a worker of a
   * cross-origin isolated page; one everywhere else. Instances on one thread of JavaScript share those of the first. */
  threads?: number;
  /** Whether to compute in a worker. Default: yes in browsers, no in Node. */
  worker?: boolean;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** Whether to keep the model in the browser's cache storage. Default: yes. */
  cache?: boolean;
  /** Where `cropvlm_bg.wasm` is, if not beside the package's code. */
  wasmUrl?: string | URL;
  /** Where `cropvlm_threads_bg.wasm` is, if not beside the package's code. */
  threadsUrl?: string | URL;
  /** Where `model.safetensors` is, if not in the package's folder `model`. */
  modelUrl?: string | URL;
}

export interface EncodeOptions {
  signal?: AbortSignal;
  /** Look at this part of the picture only; boxes are those of the whole picture all the same. */
  within?: Box;
  onProgress?: (progress: Progress) => void;
}

export interface AskOptions {
  signal?: AbortSignal;
  /** Grow the box to so many times its area. At least 1; default 1. */
  expand?: number;
  /** Further places that are named at most. Default 3. */
  topK?: number;
  /** Shortest side of the crop in pixels; a smaller box is grown. */
  minSize?: number;
  /** File type of `blob()`. Default `"image/png"`. */
  type?: "image/png" | "image/jpeg";
  /** Quality of a JPEG, 0 to 1. Default 0.92. */
  quality?: number;
  onProgress?: (progress: Progress) => void;
}

export interface ProposeOptions extends EncodeOptions, AskOptions {}

export interface Place {
  box: Box;
  pixels: Pixels;
  /** Probability that the box holds the answer. */
  confidence: number;
}

export interface Proposal extends Place {
  /** Probability that the picture holds the answer at all; `null` where the model does not tell. Below 0.2: say that it is not seen. */
  present: number | null;
  /** Whether a crop is needed at all; `null` until a model knows. */
  needed: boolean | null;
  /** Further places, likeliest first. */
  others: Place[];
  /** Where it was computed. */
  backend: "cpu" | "webgpu";
  /** Milliseconds: decoding the file, resizing, encoding, reading the question, reading off the box; `ask`, the question in all. */
  timings: { decode: number; image: number; encode: number; question: number; box: number; ask: number };
  /** The crop as a file, from the picture's own pixels. */
  blob(): Promise<Blob>;
  /** The crop's pixels. */
  imageData(): Promise<ImageData>;
}

/** A picture that the model has encoded, for any number of questions. */
export interface EncodedImage {
  readonly width: number;
  readonly height: number;
  ask(question: string, options?: AskOptions): Promise<Proposal>;
  /** Frees the picture's memory. */
  dispose(): void;
}

/** A loaded model. */
export class CropVLM implements AsyncDisposable {
  private constructor();
  static load(options?: LoadOptions): Promise<CropVLM>;
  /** Where it computes: `"webgpu"` becomes `"cpu"` when the graphics card fails. */
  readonly backend: "cpu" | "webgpu";
  /** Name of the graphics card, or null. */
  readonly adapter: string | null;
  /** Whether another device was asked for, or the graphics card is one that the processor imitates. */
  readonly isFallback: boolean;
  /** Why it computes there. */
  readonly reason: string;
  /** Threads that compute. */
  readonly threads: number;
  /** Encodes a picture and proposes the box to look at for a question. */
  propose(image: ImageInput, question: string, options?: ProposeOptions): Promise<Proposal>;
  /** Encodes a picture once, for many questions. */
  encode(image: ImageInput, options?: EncodeOptions): Promise<EncodedImage>;
  /** As `encoded.ask`. */
  ask(encoded: EncodedImage, question: string, options?: AskOptions): Promise<Proposal>;
  /** Ends what is running and frees the memory. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type MessageProvider =
  | "openai"
  | "openai-responses"
  | "anthropic"
  | "gemini"
  | "mistral"
  | "openrouter"
  | "ollama"
  | "lmstudio"
  | "llamacpp"
  | "vllm"
  | "ai-sdk";

export interface MessageOptions {
  image: ImageInput;
  question: string;
  /** From `propose`. */
  proposal?: Pick<Proposal, "blob" | "pixels">;
  /** What is shown. Default: the whole picture and the crop; without a proposal the whole picture. */
  detail?: "full+crop" | "small+crop" | "full";
  /** The model's name at the provider, for the estimate. Default: a small one of the provider's. */
  model?: string;
  wasmUrl?: string | URL;
  signal?: AbortSignal;
}

export interface Messages {
  /** `messages` of OpenAI's chat, Anthropic, Mistral and the AI SDK, `input` of OpenAI's responses, `contents` of Gemini. */
  messages: unknown[];
  /** Tokens that the provider counts for the pictures; null where no rule is published. */
  tokens: { full: number | null; fullAndCrop: number | null; smallAndCrop: number | null };
}

/** Messages that ask a question about a picture and its crop, in a provider's language. */
export function messages(provider: MessageProvider, options: MessageOptions): Promise<Messages>;

export interface ZoomToolOptions {
  /** Whose tool definitions. Default `"openai"`. */
  format?: "openai" | "openai-responses" | "anthropic" | "gemini" | "mistral" | "ai-sdk";
  /** Boxes in percent (100, the default) or from 0 to 1000. */
  units?: 100 | 1000;
  /** A crop of more pixels is scaled down. Default 1,048,576. */
  maxPixels?: number;
  /** Lets the model ask a question in place of giving a box. */
  crop?: CropVLM;
  wasmUrl?: string | URL;
}

export interface ZoomInput {
  box?: number[];
  question?: string;
}

export interface ZoomResult {
  blob: Blob;
  /** The box that was cut, inside the picture, in the tool's units. */
  box: Box;
  pixels: Pixels;
  /** A sentence for the model. */
  text: string;
}

export interface ZoomTool {
  /** For the provider's list of tools. */
  definition: Record<string, unknown>;
  /** Cuts what the model asked for. Its errors name the picture's size and can be shown to the model. */
  execute(
    image: ImageInput,
    input: ZoomInput,
    options?: { signal?: AbortSignal; type?: "image/png" | "image/jpeg"; quality?: number },
  ): Promise<ZoomResult>;
}

/** A `zoom` tool for models that call tools. */
export function zoomTool(options?: ZoomToolOptions): ZoomTool;

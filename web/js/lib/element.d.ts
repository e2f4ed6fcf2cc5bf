import type { Box, CropVLM, Proposal } from "./index.js";

/**
 * `<crop-vlm src question alt>`: a picture with an editable box. Events: `propose` (detail: the proposal), `change` (detail:
 * `{ box }`), `error` (detail: a `CropVLMError`). Parts: `image`, `box`, `handle`, `status`. Custom properties:
 * `--crop-vlm-border`, `--crop-vlm-fill`, `--crop-vlm-halo`, `--crop-vlm-focus`, `--crop-vlm-handle`.
 */
export class CropVLMElement extends HTMLElement {
  src: string | null;
  question: string | null;
  /** The box in percent; setting it draws it. */
  box: Box | null;
  /** The instance that proposes; the page's shared one where none is set. */
  engine?: CropVLM;
  propose(): Promise<Proposal | undefined>;
}

declare global {
  interface HTMLElementTagNameMap {
    "crop-vlm": CropVLMElement;
  }
}

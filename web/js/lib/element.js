// `<crop-vlm src question>`: a picture with an editable box.
import { typed } from "./errors.js";
import { CropVLM } from "./index.js";

let shared;
/** One instance for all elements of a page that have none of their own. */
const engine = () => (shared ??= CropVLM.load().catch((error) => {
  shared = undefined;
  throw error;
}));

const STYLE = `
  :host { display: inline-block; position: relative; line-height: 0; touch-action: none; }
  img { max-width: 100%; display: block; }
  [part=box] {
    position: absolute; box-sizing: border-box; cursor: move;
    border: var(--crop-vlm-border, 2px solid #1668dc);
    background: var(--crop-vlm-fill, rgb(22 104 220 / 0.08));
    box-shadow: 0 0 0 1px var(--crop-vlm-halo, #fff);
  }
  [part=box]:focus-visible { outline: 3px solid var(--crop-vlm-focus, #ffb020); outline-offset: 1px; }
  [part=handle] {
    position: absolute; right: -9px; bottom: -9px; width: 18px; height: 18px; cursor: nwse-resize;
    border-radius: 50%; background: var(--crop-vlm-handle, #1668dc);
  }
  [hidden] { display: none; }
  [part=status] { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
`;

const Base = globalThis.HTMLElement ?? class {};

export class CropVLMElement extends Base {
  static observedAttributes = ["src", "question", "alt"];
  #image;
  #box;
  #status;
  #edges = null;
  #running;
  #queued = false;

  /** An instance of `CropVLM`, where it is not to be the page's shared one. */
  engine;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML =
      '<img part="image" crossorigin="anonymous"><div part="box" role="group" tabindex="0" hidden><div part="handle"></div></div>' +
      '<div part="status" role="status"></div>';
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE); // no <style>: a strict Content-Security-Policy permits this
    root.adoptedStyleSheets = [style];
    this.#image = root.querySelector("img");
    this.#box = root.querySelector('[part="box"]');
    this.#status = root.querySelector('[part="status"]');
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#box.addEventListener("pointerdown", (event) => this.#drag(event));
  }

  /** The box in percent, or null. */
  get box() {
    return this.#edges && [...this.#edges];
  }

  set box(edges) {
    this.#show(edges);
  }

  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (name === "alt") this.#image.alt = after ?? "";
    if (name === "src") this.#image.src = after ?? "";
    if (name !== "alt" && !this.#queued) {
      // Both attributes are often set at once.
      this.#queued = true;
      queueMicrotask(() => {
        this.#queued = false;
        if (this.isConnected) this.propose().catch(() => {});
      });
    }
  }

  connectedCallback() {
    if (!this.#running && this.src && this.question) this.propose().catch(() => {});
  }

  disconnectedCallback() {
    this.#running?.abort();
    this.#running = undefined;
  }

  get src() {
    return this.getAttribute("src");
  }
  set src(value) {
    this.setAttribute("src", value);
  }
  get question() {
    return this.getAttribute("question");
  }
  set question(value) {
    this.setAttribute("question", value);
  }

  /** Proposes a box for `question` on `src`; event `propose` with the proposal, or `error` with why there is none. */
  async propose() {
    this.#running?.abort();
    const { src, question } = this;
    if (!src || !question?.trim()) return this.#show(null);
    const control = (this.#running = new AbortController());
    this.#show(null);
    this.#status.textContent = "Looking for the place …";
    try {
      const crop = this.engine ?? (await engine());
      const url = new URL(src, document.baseURI).href;
      const proposal = await crop.propose(url, question, { signal: control.signal });
      if (control.signal.aborted) return undefined;
      this.#show(proposal.box);
      this.dispatchEvent(new CustomEvent("propose", { detail: proposal, bubbles: true, composed: true }));
      return proposal;
    } catch (error) {
      const why = typed(error);
      if (why.code === "aborted") return undefined;
      this.#status.textContent = why.message;
      this.dispatchEvent(new CustomEvent("error", { detail: why }));
      throw why;
    }
  }

  #show(edges) {
    this.#edges = edges && edges.map((edge) => Math.round(edge * 100) / 100);
    this.#box.hidden = !edges;
    if (!edges) return;
    const [x1, y1, x2, y2] = this.#edges;
    Object.assign(this.#box.style, { left: `${x1}%`, top: `${y1}%`, width: `${x2 - x1}%`, height: `${y2 - y1}%` });
    const said = `Crop from ${x1} to ${x2} percent across and ${y1} to ${y2} percent down. Arrow keys move it, with Shift its lower right corner.`;
    this.#box.setAttribute("aria-label", said);
    this.#status.textContent = said;
  }

  #change(edges) {
    this.#show(edges);
    this.dispatchEvent(new CustomEvent("change", { detail: { box: this.box }, bubbles: true, composed: true }));
  }

  #key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!step || !this.#edges) return;
    event.preventDefault();
    this.#change(event.shiftKey ? resized(this.#edges, step) : moved(this.#edges, step));
  }

  #drag(event) {
    event.preventDefault();
    this.#box.focus();
    const target = event.target;
    const change = target.getAttribute("part") === "handle" ? resized : moved;
    const start = [event.clientX, event.clientY];
    const before = this.#edges;
    const { width, height } = this.#image.getBoundingClientRect();
    target.setPointerCapture(event.pointerId);
    const move = ({ clientX, clientY }) =>
      this.#change(change(before, [((clientX - start[0]) / width) * 100, ((clientY - start[1]) / height) * 100]));
    const end = () => target.removeEventListener("pointermove", move);
    target.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) target.addEventListener(name, end, { once: true });
  }
}

/** The box moved by percents, as far as the picture's edge. */
function moved([x1, y1, x2, y2], [across, down]) {
  const x = Math.min(Math.max(across, -x1), 100 - x2);
  const y = Math.min(Math.max(down, -y1), 100 - y2);
  return [x1 + x, y1 + y, x2 + x, y2 + y];
}

/** The box with its lower right corner moved by percents. */
function resized([x1, y1, x2, y2], [across, down]) {
  const edge = (low, high, by) => Math.min(Math.max(high + by, low + 0.5), 100);
  return [x1, y1, edge(x1, x2, across), edge(y1, y2, down)];
}

if (globalThis.customElements && !customElements.get("crop-vlm")) customElements.define("crop-vlm", CropVLMElement);

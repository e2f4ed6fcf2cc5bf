// onnxruntime-web in a worker of its own, as an application has it: three sessions, then picture, prompt and tokens. What
// `peers.mjs` puts beside the page; the files are those of `tests/parity/export_onnx.py`. `self.peer` is called from there.
/** Where a cache lies. */
const PLACE = { webgpu: 'gpu-buffer', wasm: 'cpu' };
const now = () => performance.now();

async function bytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response.arrayBuffer();
}

/** The index of the largest number. */
function likeliest(logits) {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

class Peer {
  /** Fetches and makes the sessions; `provider` is wasm or webgpu, `kind` f32 or q8. */
  static async load({ provider, kind, threads }) {
    if (!crossOriginIsolated) throw new Error('memory is not shared here, so that there would be one thread');
    const peer = new Peer();
    // The plain build where the processor computes: the one with WebGPU is made so that every call of its can wait.
    const ort = peer.ort = await import(`./runtime/ort.${provider}.min.mjs`);
    Object.assign(ort.env.wasm, { wasmPaths: new URL('runtime/', import.meta.url).href, numThreads: threads, proxy: false });
    ort.env.logLevel = 'error';
    peer.case = JSON.parse(new TextDecoder().decode(await bytes('onnx/case.json')));
    peer.pixels = new Float32Array(await bytes('onnx/pixels.bin'));
    peer.names = Array.from({ length: peer.case.layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();
    // The cache stays where it is computed.
    const preferredOutputLocation = Object.fromEntries(peer.names.map((name) => [`present.${name}`, PLACE[provider]]));
    for (const name of ['vision', 'embed', 'decoder']) {
      const options = { executionProviders: [provider], logSeverityLevel: 3, ...(name === 'decoder' && { preferredOutputLocation }) };
      peer[name] = await ort.InferenceSession.create(new Uint8Array(await bytes(`onnx/${name}_${kind}.onnx`)), options);
    }
    return peer;
  }

  tensor(type, data, dims) {
    return new this.ort.Tensor(type, data, dims);
  }

  async embedded(ids) {
    const { inputs_embeds } = await this.embed.run({ input_ids: this.tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]) });
    return inputs_embeds.data;
  }

  /** Lets the decoder read vectors behind what it has read; the likeliest next token. */
  async read(vectors, count) {
    this.places += count;
    const given = {
      inputs_embeds: this.tensor('float32', vectors, [1, count, this.case.hidden]),
      attention_mask: this.tensor('int64', new BigInt64Array(this.places).fill(1n), [1, this.places]),
    };
    const { logits, ...present } = await this.decoder.run({ ...given, ...this.past });
    this.forget();
    this.past = Object.fromEntries(this.names.map((name) => [`past.${name}`, present[`present.${name}`]]));
    return likeliest(logits.data);
  }

  forget() {
    for (const old of Object.values(this.past ?? {})) old.dispose();
  }

  /** Milliseconds of a tile, of the prompt and of each token, and the tokens. */
  async run(count) {
    const { ids, image_token, tile, heads, head, tokens } = this.case;
    const start = now();
    const { image_features } = await this.vision.run({ pixel_values: this.tensor('float32', this.pixels, [1, 3, tile, tile]) });
    const features = image_features.data;
    const seen = now();
    const vectors = await this.embedded(ids);
    const first = ids.indexOf(image_token);
    vectors.set(features, first * this.case.hidden); // image tokens stand side by side
    this.past = Object.fromEntries(this.names.map((name) => [`past.${name}`, this.tensor('float32', new Float32Array(0), [1, heads, 0, head])]));
    this.places = 0;
    const written = [await this.read(vectors, ids.length)];
    const read = now();
    while (written.length <= count) written.push(await this.read(await this.embedded([written.at(-1)]), 1));
    const end = now();
    this.forget();
    this.past = {};
    const same = written.filter((token, i) => token === tokens[i]).length;
    return { vision: seen - start, prompt: read - seen, token: (end - read) / count, same, of: written.length };
  }
}

self.peer = { load: async (what) => { self.loaded = await Peer.load(what); }, run: (count) => self.loaded.run(count) };
self.postMessage('ready');

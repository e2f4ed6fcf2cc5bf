// Text policies whose weights come in shards, fetched one after the other: packed ones (`models/text-q4`, written by
// `cropvlm export --quant q4` from the tiny SmolVLM) and plain ones. What is wrong with a shard is said by its name.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe } from 'node:test';
import { file, picture } from './lib/files.mjs';
import { choose, complaint, edges, propose, started, state } from './lib/page.mjs';
import { SETTINGS, smolvlm } from './lib/tiny.mjs';

const RECEIPT = file('receipt.png', picture('receipt.png'));
const packed = (path) => readFileSync(new URL(`models/text-q4${path}`, import.meta.url));
const INDEX = 'model.safetensors.index.json';
const SHARD = 'model-00001-of-00001.safetensors';
const PACKED = { ...SETTINGS, 'config.json': packed('/config.json'), [INDEX]: packed(`/${INDEX}`), [SHARD]: packed(`/${SHARD}`) };

/** A safetensors file of some tensors of another one. */
function part(bytes, wanted) {
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length));
  const data = bytes.subarray(8 + length);
  const [out, pieces] = [{}, []];
  let at = 0;
  for (const name of wanted) {
    const { data_offsets: [from, to], ...rest } = header[name];
    out[name] = { ...rest, data_offsets: [at, at + to - from] };
    pieces.push(data.subarray(from, to));
    at += to - from;
  }
  const text = Buffer.from(JSON.stringify(out));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([head, text, ...pieces]);
}

/** The tiny SmolVLM in two plain shards, as transformers writes them. */
function plain() {
  const whole = smolvlm('goldens/model.safetensors');
  const header = JSON.parse(whole.subarray(8, 8 + Number(whole.readBigUInt64LE(0))));
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  const half = names.length >> 1;
  const files = { ...SETTINGS, 'config.json': smolvlm('tiny/config.json') };
  const weight_map = {};
  for (const [i, some] of [names.slice(0, half), names.slice(half)].entries()) {
    const name = `model-0000${i + 1}-of-00002.safetensors`;
    files[name] = part(whole, some);
    for (const tensor of some) weight_map[tensor] = name;
  }
  files[INDEX] = Buffer.from(JSON.stringify({ metadata: { total_size: whole.length }, weight_map }));
  return files;
}

describe('weights in shards', () => {
  const at = started();
  const serve = (files) => {
    for (const [name, bytes] of Object.entries(files)) at.server.replace.set(`models/shards/${name}`, bytes);
  };
  const weights = () => at.server.asked.filter((path) => /^models\/shards\/.*\.safetensors$/.test(path)).map((path) => path.split('/').pop());
  const on = (name, files, body, options) => at.on(name, body, {
    path: '?model=models/shards/',
    prepare: () => {
      at.server.asked.length = 0;
      serve(files());
    },
    ...options,
  });

  on('a packed folder proposes the box that the command line proposes', () => PACKED, async (page) => {
    const { question, box } = JSON.parse(packed('.json'));
    assert.deepEqual(weights(), [SHARD]);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, question), 'done', await complaint(page));
    assert.deepEqual(await edges(page), box);
  });

  on('plain shards are fetched one after the other', plain, async (page) => {
    assert.deepEqual(weights(), ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
    await choose(page, RECEIPT);
    assert.equal(await propose(page, 'What is the total?'), 'done', await complaint(page));
  });

  const changed = Buffer.from(PACKED[SHARD]);
  changed[changed.length - 1] ^= 1;
  const config = (change) => Buffer.from(JSON.stringify({ ...JSON.parse(PACKED['config.json']), ...change }));
  const page404 = Buffer.from('<!doctype html><title>Not found</title>');
  for (const [name, path, content, sentence] of [
    ['another shard', SHARD, changed, /model-00001-of-00001\.safetensors: its SHA-256 is [0-9a-f]{64}, the index says [0-9a-f]{64}/],
    ['a shard that is cut', SHARD, PACKED[SHARD].subarray(0, 20_000), /model-00001-of-00001\.safetensors: not a readable safetensors file: it has 20000 bytes/],
    ['a shard that is missing', SHARD, 404, /model-00001-of-00001\.safetensors could not be loaded/],
    ['a web page in place of a shard', SHARD, page404, /model-00001-of-00001\.safetensors: .*it is a web page, where weights are meant/],
    ['a web page in place of the list of shards', INDEX, page404, /index\.json: it is a web page, where JSON is meant/],
    ['weights that others quantized', 'config.json', config({ quantization_config: { quant_method: 'gptq' } }), /quant_method is "gptq"/],
    ['another architecture', 'config.json', config({ model_type: 'llava' }), /model_type is "llava"/],
  ]) {
    on(`${name} is named in a sentence, and the next try works`, () => ({ ...PACKED, [path]: content }), async (page) => {
      assert.equal(await state(page, 'ready', 'error'), 'error');
      assert.match(await complaint(page), sentence);
      serve(PACKED);
      await choose(page, RECEIPT);
      assert.equal(await propose(page, 'What is the total?'), 'done', await complaint(page));
    }, { ready: false });
  }

  const huge = () => {
    const index = JSON.parse(PACKED[INDEX]);
    return { ...PACKED, [INDEX]: Buffer.from(JSON.stringify({ ...index, metadata: { ...index.metadata, total_size: 9e9 } })) };
  };
  on('a model that no page has room for is refused before its weights are fetched', huge, async (page) => {
    assert.equal(await state(page, 'ready', 'error'), 'error');
    assert.match(await complaint(page), /needs about 9\.3 GB of memory, and a page on this device can count on \d\.\d GB/);
    assert.deepEqual(weights(), []);
  }, { ready: false });
});

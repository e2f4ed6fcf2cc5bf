// What the built modules may not be, whatever they do.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { brotli, code, distFile, modules } from './lib/page.mjs';

/** The function that each exported function calls before it does anything else, by name; those that do not begin with a call are left out. */
function firstCalls(bytes) {
  let at = 8; // behind the magic number and the version
  const byte = () => bytes[at++];
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const next = byte();
      value += (next & 127) * 2 ** shift;
      if (next < 128) return value;
    }
  };
  const name = () => {
    const length = number();
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const limits = () => {
    const flags = number();
    number();
    if (flags & 1) number();
  };
  const IMPORTED = [() => number(), () => (byte(), limits()), limits, () => (byte(), byte()), () => (byte(), number())];
  const sections = new Map();
  while (at < bytes.length) {
    const id = byte();
    const size = number();
    if (id > 0) sections.set(id, at);
    at += size;
  }
  at = sections.get(2);
  let imported = 0;
  for (let left = number(); left > 0; left--) {
    name();
    name();
    const kind = byte();
    if (kind === 0) imported++;
    IMPORTED[kind]();
  }
  at = sections.get(7);
  const exported = new Map();
  for (let left = number(); left > 0; left--) {
    const called = name();
    const kind = byte();
    const index = number();
    if (kind === 0) exported.set(index, called);
  }
  at = sections.get(10);
  const calls = new Map();
  const count = number();
  for (let index = imported; index < imported + count; index++) {
    const size = number();
    const end = at + size;
    if (exported.has(index)) {
      for (let groups = number(); groups > 0; groups--) at = (number(), at + 1);
      if (byte() === 0x10) calls.set(exported.get(index), number());
    }
    at = end;
  }
  return { calls, exported: exported.size };
}

const built = modules();

test('the modules of page and worker are there, SmolVLM, and the one that needs burn', () => {
  for (const file of ['page_bg.wasm', 'worker_bg.wasm', 'smolvlm/smolvlm_bg.wasm', 'trainable/trainable_bg.wasm']) assert.ok(built.includes(file), `${built}`);
});

/** A module of one function with one relaxed SIMD instruction, `i8x16.relaxed_swizzle`. */
const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
]);

for (const file of built) {
  test(`${file} starts where there is SIMD but no relaxed SIMD`, (t) => {
    if (WebAssembly.validate(RELAXED)) return t.skip('this Node has relaxed SIMD');
    assert.ok(WebAssembly.validate(readFileSync(distFile(file))));
  });
  test(`a call into ${file} does not begin with the constructors of everything in it`, () => {
    const { calls, exported } = firstCalls(readFileSync(distFile(file)));
    assert.ok(exported > 5, `${exported} exported functions`);
    const shares = new Map();
    for (const called of calls.values()) shares.set(called, (shares.get(called) ?? 0) + 1);
    const most = Math.max(0, ...shares.values());
    assert.ok(most * 2 < exported, `${most} of ${exported} exported functions begin with the same call: is __wasm_call_ctors called in main?`);
  });
}

test('what is fetched before the first box is at most 0.9 MB of code by brotli, and no part of it is burn', () => {
  const files = code();
  assert.ok(files.includes('worker_bg.wasm') && !files.some((name) => /^(trainable|smolvlm)/.test(name)), `${files}`);
  const bytes = files.map((name) => brotli(readFileSync(distFile(name))));
  const sum = bytes.reduce((a, b) => a + b);
  assert.ok(sum <= 900_000, `${sum}: ${files.map((name, at) => `${name} ${bytes[at]}`)}`);
  for (const [name, holds] of [['worker_bg.wasm', false], ['smolvlm/smolvlm_bg.wasm', false], ['trainable/trainable_bg.wasm', true]]) {
    // Panics name the file that they stand in.
    assert.equal(readFileSync(distFile(name)).includes('burn-'), holds, name);
  }
  // The lesson has its gradients on the processor: no compiler of kernels for graphics cards comes with it.
  const lesson = brotli(readFileSync(distFile('trainable/trainable_bg.wasm')));
  assert.ok(lesson <= 1_000_000, `${lesson}`);
});

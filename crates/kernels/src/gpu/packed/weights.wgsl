// Weights as they are packed, put in front of the kernels that read them. `KIND` is set by `linear.rs`.

const F32 = 0u;
const F16 = 1u;
const BF16 = 2u;
const Q8 = 3u;  // int8, four a word; an f16 scale for 32 of a row, two a word
const Q4 = 4u;  // nibbles plus 8, eight a word, the first in the lowest bits; scales likewise
const KIND = Q8;

@group(0) @binding(1) var<storage, read> weights: array<u32>;  // [outputs, inputs]
@group(0) @binding(2) var<storage, read> scales: array<u32>;   // [outputs, blocks]

// The `four`-th four weights of an output, of which each has `fours`.
fn weight(output: u32, four: u32, fours: u32) -> vec4<f32> {
  let at = output * fours + four;
  if KIND == F32 {
    return bitcast<vec4<f32>>(vec4(weights[4u * at], weights[4u * at + 1u], weights[4u * at + 2u], weights[4u * at + 3u]));
  }
  if KIND == F16 || KIND == BF16 {
    let pairs = vec2(weights[2u * at], weights[2u * at + 1u]);
    if KIND == F16 { return vec4(unpack2x16float(pairs.x), unpack2x16float(pairs.y)); }
    let words = vec4(pairs.x << 16u, pairs.x & 0xffff0000u, pairs.y << 16u, pairs.y & 0xffff0000u);
    return bitcast<vec4<f32>>(words);
  }
  let block = output * ((fours + 7u) / 8u) + four / 8u;
  let two = unpack2x16float(scales[block / 2u]);
  let scale = select(two.x, two.y, block % 2u == 1u);
  if KIND == Q8 {
    let signed = vec4(bitcast<i32>(weights[at])) << vec4(24u, 16u, 8u, 0u);
    return vec4<f32>(signed >> vec4(24u)) * scale;
  }
  // Rows are filled up to whole words.
  let word = weights[output * ((fours + 1u) / 2u) + four / 2u] >> (four % 2u * 16u);
  let nibbles = (vec4(word) >> vec4(0u, 4u, 8u, 12u)) & vec4(15u);
  return (vec4<f32>(nibbles) - 8.0) * scale;
}

// How much the last query of a row looks at each token, head by head: softmax of the scores. A workgroup a head.
// Twin on the processor: `packed::attention_of_last`. `keys.wgsl` stands before it.

@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [heads, tokens]

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let head = group.x;
  let start = ((n.tokens - 1u) * n.heads + head) * FOURS;
  let count = n.before + n.own;
  var own = -3.0e38;
  for (var j = local; j < count; j += 64u) { own = max(own, score_of(start, head, j)); }
  sums[local] = own;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { sums[local] = max(sums[local], sums[local + half]); }
    workgroupBarrier();
  }
  let top = sums[0];
  workgroupBarrier();
  own = 0.0;
  for (var j = local; j < count; j += 64u) { own += exp(max(score_of(start, head, j) - top, -87.0)); }
  sums[local] = own;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  for (var j = local; j < count; j += 64u) {
    out[head * count + j] = exp(max(score_of(start, head, j) - top, -87.0)) / sums[0];
  }
}

fn score_of(start: u32, head: u32, token: u32) -> f32 {
  var score = 0.0;
  for (var i = 0u; i < FOURS; i++) { score += dot(queries[start + i], key_of(token, head / n.fold, 0u, i)); }
  return score * n.scale;
}

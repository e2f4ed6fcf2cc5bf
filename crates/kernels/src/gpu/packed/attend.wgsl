// Attention of many queries, without a matrix of scores (online softmax: T. Dao et al., "FlashAttention", 2022, arXiv
// 2205.14135). A workgroup has 64 queries of a head, an invocation one of them; sixteen keys and values at a time go through
// the workgroup's memory, where all invocations read the same one.
// Twin on the processor: `packed::attend`. `keys.wgsl` and `values.wgsl` stand before it.

const TILE = 16u;

var<workgroup> keys: array<vec4<f32>, TILE * FOURS>;
var<workgroup> values: array<vec4<f32>, TILE * FOURS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let row = group.z;
  let head = group.y;
  let key_head = head / n.fold;
  let query = min(group.x * 64u + local, n.tokens - 1u);
  let start = ((row * n.tokens + query) * n.heads + head) * FOURS;
  var q: array<vec4<f32>, FOURS>;
  var mixed: array<vec4<f32>, FOURS>;
  for (var i = 0u; i < FOURS; i++) {
    q[i] = queries[start + i] * n.scale;
    mixed[i] = vec4(0.0);
  }
  var top = -3.0e38;
  var sum = 0.0;
  let sees = seen(query);
  let most = seen(min(group.x * 64u + 63u, n.tokens - 1u));
  for (var first = 0u; first < most; first += TILE) {
    workgroupBarrier();
    for (var i = local; i < TILE * FOURS; i += 64u) {
      let token = min(first + i / FOURS, most - 1u);
      keys[i] = key_of(token, key_head, row, i % FOURS);
      values[i] = value_of(token, key_head, row, i % FOURS);
    }
    workgroupBarrier();
    var scores: array<f32, TILE>;
    var now = top;
    for (var j = 0u; j < TILE; j++) {
      var score = 0.0;
      for (var i = 0u; i < FOURS; i++) { score += dot(q[i], keys[j * FOURS + i]); }
      if first + j >= sees { score = -3.0e38; }
      scores[j] = score;
      now = max(now, score);
    }
    // What was mixed before shrinks where a larger score came.
    let shrink = exp(max(top - now, -87.0));
    sum *= shrink;
    for (var i = 0u; i < FOURS; i++) { mixed[i] *= shrink; }
    for (var j = 0u; j < TILE; j++) {
      // Nothing, some 1e-38, of what the query does not see.
      let share = exp(max(scores[j] - now, -87.0));
      sum += share;
      for (var i = 0u; i < FOURS; i++) { mixed[i] += share * values[j * FOURS + i]; }
    }
    top = now;
  }
  if group.x * 64u + local >= n.tokens { return; }
  for (var i = 0u; i < FOURS; i++) { out[start + i] = mixed[i] / sum; }
}

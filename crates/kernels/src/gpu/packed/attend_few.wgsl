// Attention of few queries, such as the one of a new token: a workgroup a query and head, whose 64 invocations share the
// keys. 512 keys at a time, with an online softmax.
// Twin on the processor: `packed::attend`. `keys.wgsl` and `values.wgsl` stand before it.

const TILE = 512u;

var<workgroup> query: array<vec4<f32>, FOURS>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> parts: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let row = group.z;
  let head = group.y;
  let key_head = head / n.fold;
  let start = ((row * n.tokens + group.x) * n.heads + head) * FOURS;
  for (var i = local; i < FOURS; i += 64u) { query[i] = queries[start + i] * n.scale; }
  // Invocations that mix the same four numbers, each a part of the values.
  const SHARES = 64u / FOURS;
  let four = local % FOURS;
  let share = local / FOURS;
  var mixed = vec4(0.0);
  var top = -3.0e38;
  var sum = 0.0;
  let sees = seen(group.x);
  for (var first = 0u; first < sees; first += TILE) {
    let count = min(TILE, sees - first);
    workgroupBarrier();
    var own = -3.0e38;
    for (var j = local; j < count; j += 64u) {
      var score = 0.0;
      for (var i = 0u; i < FOURS; i++) { score += dot(query[i], key_of(first + j, key_head, row, i)); }
      scores[j] = score;
      own = max(own, score);
    }
    let now = max(top, largest(own, local));
    let shrink = exp(max(top - now, -87.0));
    own = 0.0;
    for (var j = local; j < count; j += 64u) {
      let weight = exp(max(scores[j] - now, -87.0));
      scores[j] = weight;
      own += weight;
    }
    sum = sum * shrink + total(own, local);
    mixed *= shrink;
    if share < SHARES {
      for (var j = share; j < count; j += SHARES) {
        mixed += scores[j] * value_of(first + j, key_head, row, four);
      }
    }
    top = now;
  }
  workgroupBarrier();
  parts[local] = mixed;
  workgroupBarrier();
  if share != 0u { return; }
  for (var other = 1u; other < SHARES; other++) { mixed += parts[other * FOURS + four]; }
  out[start + four] = mixed / sum;
}

// The workgroup's largest value.
fn largest(own: f32, local: u32) -> f32 {
  parts[local].x = own;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { parts[local].x = max(parts[local].x, parts[local + half].x); }
    workgroupBarrier();
  }
  let found = parts[0].x;
  workgroupBarrier();
  return found;
}

// The workgroup's sum.
fn total(own: f32, local: u32) -> f32 {
  parts[local].x = own;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { parts[local].x += parts[local + half].x; }
    workgroupBarrier();
  }
  let found = parts[0].x;
  workgroupBarrier();
  return found;
}

// From logits to log-probabilities, in place: every place holds several distributions side by side (the two half cells of
// the characters). A workgroup computes one of them. Twin on the processor: `Maps::log_softmax`.

struct Numbers {
  width: u32,
  lanes: u32,    // channels as they are stored
  halves: u32,   // distributions a place
  classes: u32,  // values of a distribution
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read_write> maps: array<f32>;   // [H, W, lanes]

var<workgroup> shared_values: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let place = group.y * n.width + group.x / n.halves;
  let first = place * n.lanes + group.x % n.halves * n.classes;

  var top = maps[first];
  for (var i = local; i < n.classes; i += 64u) { top = max(top, maps[first + i]); }
  shared_values[local] = top;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { shared_values[local] = max(shared_values[local], shared_values[local + half]); }
    workgroupBarrier();
  }
  top = shared_values[0];
  workgroupBarrier();

  var sum = 0.0;
  for (var i = local; i < n.classes; i += 64u) { sum += exp(maps[first + i] - top); }
  shared_values[local] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { shared_values[local] += shared_values[local + half]; }
    workgroupBarrier();
  }
  let all = top + log(shared_values[0]);
  for (var i = local; i < n.classes; i += 64u) { maps[first + i] -= all; }
}

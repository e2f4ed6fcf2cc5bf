// The first half of a group norm: sum and sum of squares of a group's values, for 512 places a workgroup. The group's
// first value is taken off before, so that a large mean costs no digits.
// Twin on the processor: `Maps::moments`.

struct Numbers {
  places: u32,
  lanes: u32,  // channels as they are stored
  size: u32,   // channels of a group
  runs: u32,   // workgroups a group
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> maps: array<f32>;               // [H, W, lanes]
@group(0) @binding(2) var<storage, read_write> out: array<vec2<f32>>;    // [groups, runs]

const RUN = 512u;

var<workgroup> sums: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let channels = group.y * n.size;
  let base = maps[channels];
  let first = group.x * RUN;
  let count = min(RUN, n.places - first) * n.size;
  var sum = vec2(0.0);
  for (var i = local; i < count; i += 256u) {
    let value = maps[(first + i / n.size) * n.lanes + channels + i % n.size] - base;
    sum += vec2(value, value * value);
  }
  sums[local] = sum;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if local < half { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  if local == 0u { out[group.y * n.runs + group.x] = sums[0]; }
}

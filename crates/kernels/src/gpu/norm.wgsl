// The second half of a group norm: from the sums of `moments.wgsl` to a scale and a shift a channel, which `film.wgsl`
// applies. A workgroup a group.
// Twin on the processor: `Maps::group_norm`.

struct Numbers {
  places: u32,
  lanes: u32,  // channels as they are stored
  size: u32,   // channels of a group
  runs: u32,   // sums a group
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> maps: array<f32>;           // [H, W, lanes]
@group(0) @binding(2) var<storage, read> moments: array<vec2<f32>>;  // [groups, runs]
@group(0) @binding(3) var<storage, read> affine: array<f32>;         // gamma and beta, [2, lanes]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;      // scale and shift, [2, lanes]

const EPSILON = 1e-5;

var<workgroup> sums: array<vec2<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  var sum = vec2(0.0);
  for (var i = local; i < n.runs; i += 64u) {
    sum += moments[group.x * n.runs + i];
  }
  sums[local] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  let mean_and_square = sums[0] / f32(n.places * n.size);
  let away = mean_and_square.x; // of the mean from the group's first value
  let deviation = sqrt(max(mean_and_square.y - away * away, 0.0) + EPSILON);
  let mean = maps[group.x * n.size] + away;
  for (var i = local; i < n.size; i += 64u) {
    let channel = group.x * n.size + i;
    let scale = affine[channel] / deviation;
    out[channel] = scale;
    out[n.lanes + channel] = affine[n.lanes + channel] - mean * scale;
  }
}

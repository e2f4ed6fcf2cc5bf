// Layer norm or RMS norm of rows. A workgroup a row; the mean is taken off before squares are added up.
// Twins on the processor: `packed::layer_norm`, `packed::rms_norm`.

struct Numbers {
  width: u32,
  centred: u32,  // 1: layer norm, 0: RMS norm
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> affine: array<f32>;           // scale, and a layer norm's shift, [1 or 2, width]
@group(0) @binding(2) var<storage, read> x: array<f32>;                // [rows, width]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;        // [rows, width]

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let start = group.x * n.width;
  var mean = 0.0;
  if n.centred == 1u {
    var sum = 0.0;
    for (var i = local; i < n.width; i += 64u) { sum += x[start + i]; }
    mean = total(sum, local) / f32(n.width);
  }
  var squares = 0.0;
  for (var i = local; i < n.width; i += 64u) {
    let value = x[start + i] - mean;
    squares += value * value;
  }
  let scale = inverseSqrt(total(squares, local) / f32(n.width) + n.epsilon);
  for (var i = local; i < n.width; i += 64u) {
    var value = (x[start + i] - mean) * scale * affine[i];
    if n.centred == 1u { value += affine[n.width + i]; }
    out[start + i] = value;
  }
}

// The workgroup's sum.
fn total(own: f32, local: u32) -> f32 {
  workgroupBarrier();
  sums[local] = own;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if local < half { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  return sums[0];
}

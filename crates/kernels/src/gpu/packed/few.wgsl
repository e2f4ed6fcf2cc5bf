// A few rows times packed weights, such as the one row of a new token: a workgroup computes eight outputs of a row, 32
// invocations each. Where `picked` is 1, only the outputs in `picks` are computed: the tokens that a grammar allows.
// Twin on the processor: `packed::products`. `weights.wgsl` stands before it, `then.wgsl` behind it.

struct Numbers {
  rows: u32,
  outputs: u32,  // those that are computed
  fours: u32,    // inputs in fours
  then: u32,     // as in `product.wgsl`
  biased: u32,
  picked: u32,
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [outputs]
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;          // [rows, fours]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;        // [rows, outputs]
@group(0) @binding(6) var<storage, read> picks: array<u32>;            // [outputs]

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let output = group.x * 8u + local / 32u;
  let row = group.y;
  var sum = 0.0;
  if output < n.outputs {
    var which = output;
    if n.picked == 1u { which = picks[output]; }
    for (var four = local % 32u; four < n.fours; four += 32u) {
      sum += dot(weight(which, four, n.fours), x[row * n.fours + four]);
    }
  }
  sums[local] = sum;
  workgroupBarrier();
  for (var half = 16u; half > 0u; half /= 2u) {
    if local % 32u < half { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  if local % 32u == 0u && output < n.outputs { put(row, output, sums[local]); }
}

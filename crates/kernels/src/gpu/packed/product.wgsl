// Many rows times packed weights: a workgroup computes 64 rows x 64 outputs, an invocation 4 x 4 of them. Sixteen inputs at
// a time go through the workgroup's memory, weights unpacked on their way.
// Inputs and weights are multiplied, and four products at a time added up, as `Four` has them: f32, or f16 where the card is
// fast with that and precise enough (`linear.rs` puts it in). All else is f32.
// Twin on the processor: `packed::products`. `weights.wgsl` stands before it, `then.wgsl` behind it.

alias Four = vec4<f32>;

struct Numbers {
  rows: u32,
  outputs: u32,
  fours: u32,   // inputs in fours
  then: u32,    // 0: results are stored, 1: added to what is there, 2: their GELU is stored
  biased: u32,
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [outputs]
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;          // [rows, fours]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;        // [rows, outputs]

var<workgroup> left: array<Four, 256>;   // [4 fours, 64 rows]
var<workgroup> right: array<Four, 256>;  // [4 fours, 64 outputs]

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>) {
  let local = id.y * 16u + id.x;
  let row = group.y * 64u;
  let output = group.x * 64u;
  // The row, the output and the four inputs of each step that this invocation fetches.
  let fetched = local / 4u;
  let step = local % 4u;
  let place = step * 64u + fetched;
  var sum0 = vec4(0.0);
  var sum1 = vec4(0.0);
  var sum2 = vec4(0.0);
  var sum3 = vec4(0.0);
  for (var first = 0u; first < n.fours; first += 4u) {
    let four = first + step;
    var of_row = vec4(0.0);
    var of_output = vec4(0.0);
    if four < n.fours {
      if row + fetched < n.rows { of_row = x[(row + fetched) * n.fours + four]; }
      if output + fetched < n.outputs { of_output = weight(output + fetched, four, n.fours); }
    }
    workgroupBarrier();
    left[place] = Four(of_row);
    right[place] = Four(of_output);
    workgroupBarrier();
    for (var k = 0u; k < 256u; k += 64u) {
      let w0 = right[k + id.x];
      let w1 = right[k + id.x + 16u];
      let w2 = right[k + id.x + 32u];
      let w3 = right[k + id.x + 48u];
      let v0 = left[k + id.y];
      let v1 = left[k + id.y + 16u];
      let v2 = left[k + id.y + 32u];
      let v3 = left[k + id.y + 48u];
      sum0 += vec4<f32>(vec4(dot(v0, w0), dot(v0, w1), dot(v0, w2), dot(v0, w3)));
      sum1 += vec4<f32>(vec4(dot(v1, w0), dot(v1, w1), dot(v1, w2), dot(v1, w3)));
      sum2 += vec4<f32>(vec4(dot(v2, w0), dot(v2, w1), dot(v2, w2), dot(v2, w3)));
      sum3 += vec4<f32>(vec4(dot(v3, w0), dot(v3, w1), dot(v3, w2), dot(v3, w3)));
    }
  }
  put_four(row + id.y, output + id.x, sum0);
  put_four(row + id.y + 16u, output + id.x, sum1);
  put_four(row + id.y + 32u, output + id.x, sum2);
  put_four(row + id.y + 48u, output + id.x, sum3);
}

// Hands over four outputs of a row, sixteen apart, as far as they are there.
fn put_four(row: u32, first: u32, sums: vec4<f32>) {
  if row >= n.rows { return; }
  if first < n.outputs { put(row, first, sums.x); }
  if first + 16u < n.outputs { put(row, first + 16u, sums.y); }
  if first + 32u < n.outputs { put(row, first + 32u, sums.z); }
  if first + 48u < n.outputs { put(row, first + 48u, sums.w); }
}

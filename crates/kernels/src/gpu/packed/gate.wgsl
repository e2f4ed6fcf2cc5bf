// SwiGLU: `silu(gate) up`, in the place of `gate`. An invocation four numbers.
// Twin on the processor: `packed::swiglu`.

struct Numbers {
  count: u32,   // fours
  across: u32,  // invocations of a row of workgroups
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gate: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let at = id.y * n.across + id.x;
  if at >= n.count { return; }
  let value = gate[at];
  gate[at] = value / (1.0 + exp(clamp(-value, vec4(-87.0), vec4(87.0)))) * up[at];
}

// What attention mixes, put behind `keys.wgsl`.

@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;        // as `queries`
@group(0) @binding(5) var<storage, read> common_values: array<vec4<f32>>;    // as keys
@group(0) @binding(6) var<storage, read> own_values: array<vec4<f32>>;

fn value_of(token: u32, head: u32, row: u32, four: u32) -> vec4<f32> {
  let at = place(token, head, row, four);
  if token < n.before { return common_values[at]; }
  return own_values[at];
}

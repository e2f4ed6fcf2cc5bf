// `x * scale + shift`, channel by channel, in place: how a question steers maps (FiLM, Perez et al., 2017), and the last
// step of a group norm. Twin on the processor: `Maps::scale`.

struct Numbers {
  count: u32,  // values in fours
  fours: u32,  // channels in fours
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> affine: array<vec4<f32>>;       // scale and shift, [2, fours]
@group(0) @binding(2) var<storage, read_write> maps: array<vec4<f32>>;   // [H, W, fours]

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if id.x >= n.count { return; }
  let channels = id.x % n.fours;
  maps[id.x] = maps[id.x] * affine[channels] + affine[n.fours + channels];
}

// Adds maps of half the height, half the width or both, each value to all that it covers.
// Twin on the processor: `Maps::add_grown`.

struct Numbers {
  height: u32, width: u32, // of the larger maps
  down: u32, right: u32,   // places that a value covers
  fours: u32,              // channels in fours
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> small: array<vec4<f32>>;        // [H / down, W / right, fours]
@group(0) @binding(2) var<storage, read_write> maps: array<vec4<f32>>;   // [H, W, fours]

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if id.x >= n.height * n.width * n.fours { return; }
  let place = id.x / n.fours;
  let y = place / n.width / n.down;
  let x = place % n.width / n.right;
  maps[id.x] += small[(y * (n.width / n.right) + x) * n.fours + id.x % n.fours];
}

// Maps with a question's hints as further channels. Twin on the processor: `decoder::beside`.

struct Numbers {
  places: u32,
  channels: u32,    // of the maps
  from_lanes: u32,  // of the maps, as they are stored
  hints: u32,
  to_lanes: u32,    // of the result, as they are stored
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> maps: array<f32>;         // [H, W, from_lanes]
@group(0) @binding(2) var<storage, read> hints: array<f32>;        // [hints, H, W]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;    // [H, W, to_lanes]

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if id.x >= n.places * n.to_lanes { return; }
  let place = id.x / n.to_lanes;
  let channel = id.x % n.to_lanes;
  var value = 0.0;
  if channel < n.channels {
    value = maps[place * n.from_lanes + channel];
  } else if channel < n.channels + n.hints {
    value = hints[(channel - n.channels) * n.places + place];
  }
  out[id.x] = value;
}

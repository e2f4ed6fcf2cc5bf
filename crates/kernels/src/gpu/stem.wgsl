// A convolution of a grey picture: one value a place in, several channels out. One invocation computes four channels of
// a place. Twin on the processor: `Conv::apply_relu`.

struct Numbers {
  in_height: u32, in_width: u32,
  out_height: u32, out_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_y: u32, stride_x: u32,
  padding: u32,
  to: u32, // output channels in fours
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> picture: array<f32>;            // [H, W]
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;      // [kh, kw, to]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;         // [to]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;    // [H', W', to]

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if id.x >= n.out_height * n.out_width * n.to { return; }
  let channels = id.x % n.to;
  let place = id.x / n.to;
  // Above and left of the picture these wrap around and lie beyond it.
  let top = place / n.out_width * n.stride_y - n.padding;
  let left = place % n.out_width * n.stride_x - n.padding;
  var sum = bias[channels];
  for (var ky = 0u; ky < n.kernel_height; ky++) {
    for (var kx = 0u; kx < n.kernel_width; kx++) {
      let y = top + ky;
      let x = left + kx;
      if y < n.in_height && x < n.in_width {
        sum += picture[y * n.in_width + x] * weights[(ky * n.kernel_width + kx) * n.to + channels];
      }
    }
  }
  out[id.x] = max(sum, vec4(0.0));
}

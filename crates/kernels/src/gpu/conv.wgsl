// A convolution of any kernel and stride as a matrix product that gathers its rows from the maps (implicit GEMM).
// A workgroup computes 128 places x 32 channels, an invocation 8 places x 4 channels. For every place of the kernel, eight
// input channels at a time go through the workgroup's memory, of which there are two halves: while some invocations still
// multiply one, others fill the other, so that one barrier a step is enough.
// Weights and inputs are multiplied, and four products at a time added up, as `Four` has them: f32, or f16 where the card is
// fast with that (`conv.rs` puts it in). All else is f32.
// Twin on the processor: `Conv::run` and `Winograd::run`.

alias Four = vec4<f32>;

struct Numbers {
  in_height: u32, in_width: u32,
  out_height: u32, out_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_y: u32, stride_x: u32,
  padding: u32,
  depth: u32,    // input channels in fours, even
  to: u32,       // output channels in fours
  rectify: u32,  // 1: of the input, the positive part is taken
  then: u32,     // 0: results are stored, 1: their positive part, 2: they are added to what is there
}

@group(0) @binding(0) var<uniform> n: Numbers;
@group(0) @binding(1) var<storage, read> maps: array<vec4<f32>>;         // [H, W, depth]
@group(0) @binding(2) var<storage, read> weights: array<Four>;           // [kh, kw, 4 depth, to]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;         // [to]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;    // [H', W', to]

const PLACES = 128u;
const CHANNELS = 8u; // in fours

var<workgroup> inputs: array<array<Four, 256>, 2>;  // [PLACES, 2] fours of input channels
var<workgroup> kernel: array<array<Four, 64>, 2>;       // [8 input channels, CHANNELS]

@compute @workgroup_size(8, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>) {
  let local = id.y * 8u + id.x;
  let first = group.y * CHANNELS; // channels of this workgroup, in fours

  // The two places, and of each the four of channels, that this invocation fetches.
  let near = group.x * PLACES + local / 2u;
  let far = near + PLACES / 2u;
  // Above and left of the maps these wrap around and lie beyond them.
  let near_top = near / n.out_width * n.stride_y - n.padding;
  let near_left = near % n.out_width * n.stride_x - n.padding;
  let far_top = far / n.out_width * n.stride_y - n.padding;
  let far_left = far % n.out_width * n.stride_x - n.padding;
  // The weights that it fetches, if it does.
  let row = local / CHANNELS;
  let column = first + local % CHANNELS;
  let is_weight = local < 64u && column < n.to;

  // One for each of the eight places, written out: what is indexed may not stay in registers.
  var sum0 = vec4(0.0);
  var sum1 = vec4(0.0);
  var sum2 = vec4(0.0);
  var sum3 = vec4(0.0);
  var sum4 = vec4(0.0);
  var sum5 = vec4(0.0);
  var sum6 = vec4(0.0);
  var sum7 = vec4(0.0);
  var half = 0u;
  for (var ky = 0u; ky < n.kernel_height; ky++) {
    for (var kx = 0u; kx < n.kernel_width; kx++) {
      let is_near = near_top + ky < n.in_height && near_left + kx < n.in_width;
      let is_far = far_top + ky < n.in_height && far_left + kx < n.in_width;
      let near_start = ((near_top + ky) * n.in_width + near_left + kx) * n.depth + local % 2u;
      let far_start = ((far_top + ky) * n.in_width + far_left + kx) * n.depth + local % 2u;
      let tap = (ky * n.kernel_width + kx) * n.depth * 4u;
      for (var c = 0u; c < n.depth; c += 2u) {
        inputs[half][local] = fetch(near_start + c, is_near);
        inputs[half][local + 128u] = fetch(far_start + c, is_far);
        if local < 64u {
          var weight = Four();
          if is_weight { weight = weights[(tap + c * 4u + row) * n.to + column]; }
          kernel[half][local] = weight;
        }
        workgroupBarrier();
        for (var four = 0u; four < 2u; four++) {
          let k = four * 4u * CHANNELS + id.x;
          let w0 = kernel[half][k];
          let w1 = kernel[half][k + CHANNELS];
          let w2 = kernel[half][k + 2u * CHANNELS];
          let w3 = kernel[half][k + 3u * CHANNELS];
          let at = id.y * 2u + four;
          let v0 = inputs[half][at];
          let v1 = inputs[half][at + 32u];
          let v2 = inputs[half][at + 64u];
          let v3 = inputs[half][at + 96u];
          let v4 = inputs[half][at + 128u];
          let v5 = inputs[half][at + 160u];
          let v6 = inputs[half][at + 192u];
          let v7 = inputs[half][at + 224u];
          sum0 += vec4<f32>(v0.x * w0 + v0.y * w1 + v0.z * w2 + v0.w * w3);
          sum1 += vec4<f32>(v1.x * w0 + v1.y * w1 + v1.z * w2 + v1.w * w3);
          sum2 += vec4<f32>(v2.x * w0 + v2.y * w1 + v2.z * w2 + v2.w * w3);
          sum3 += vec4<f32>(v3.x * w0 + v3.y * w1 + v3.z * w2 + v3.w * w3);
          sum4 += vec4<f32>(v4.x * w0 + v4.y * w1 + v4.z * w2 + v4.w * w3);
          sum5 += vec4<f32>(v5.x * w0 + v5.y * w1 + v5.z * w2 + v5.w * w3);
          sum6 += vec4<f32>(v6.x * w0 + v6.y * w1 + v6.z * w2 + v6.w * w3);
          sum7 += vec4<f32>(v7.x * w0 + v7.y * w1 + v7.z * w2 + v7.w * w3);
        }
        half = 1u - half;
      }
    }
  }

  let channels = first + id.x;
  if channels >= n.to { return; }
  let place = group.x * PLACES + id.y;
  put(place, channels, sum0);
  put(place + 16u, channels, sum1);
  put(place + 32u, channels, sum2);
  put(place + 48u, channels, sum3);
  put(place + 64u, channels, sum4);
  put(place + 80u, channels, sum5);
  put(place + 96u, channels, sum6);
  put(place + 112u, channels, sum7);
}

// Four input channels of a place; zeros where it lies beyond the maps.
fn fetch(at: u32, is_inside: bool) -> Four {
  if !is_inside { return Four(); }
  let value = maps[at];
  if n.rectify == 1u { return Four(max(value, vec4(0.0))); }
  return Four(value);
}

// Hands over four channels of a place, if it is one.
fn put(place: u32, channels: u32, sum: vec4<f32>) {
  if place >= n.out_height * n.out_width { return; }
  let at = place * n.to + channels;
  var value = sum + bias[channels];
  if n.then == 1u { value = max(value, vec4(0.0)); }
  if n.then == 2u { value += out[at]; }
  out[at] = value;
}

// What becomes of a product, put behind the kernels that compute one.

// Hands over an output of a row.
fn put(row: u32, output: u32, sum: f32) {
  let at = row * n.outputs + output;
  var value = sum;
  if n.biased == 1u { value += bias[output]; }
  if n.then == 1u { value += out[at]; }
  if n.then == 2u { value = gelu(value); }
  out[at] = value;
}

// GELU by its tanh approximation, as x / (1 + e^-2u).
fn gelu(x: f32) -> f32 {
  let twice = x * (1.595769 + 0.0713548 * x * x);
  return x / (1.0 + exp(clamp(-twice, -87.0, 87.0)));
}

// Kernels over flat arrays, and the averages over an image. `count` is in floats.

import { limitOf, read, throughClamp, write } from './normalised';
import { loadLanes, madd, storeLanes, total, zeros } from './simd';

// @ts-ignore: decorator
@inline
function clampGradientAt(x: usize, dy: usize, dx: usize, limit: v128, lanes: i32): void {
  write(dx, throughClamp(read(dy, lanes), read(x, lanes), limit), lanes);
}

/** dx = dy where 0 < x < 6, for ReLU where 0 < x; otherwise 0. */
export function clampGradient(x: usize, dy: usize, dx: usize, count: i32, activation: i32): void {
  const whole = (count & ~3) << 2;
  const limit = limitOf(activation);
  for (let i = 0; i < whole; i += 16) clampGradientAt(x + i, dy + i, dx + i, limit, 4);
  if (count & 3) clampGradientAt(x + whole, dy + whole, dx + whole, limit, count & 3);
}

export function sum(a: usize, b: usize, out: usize, count: i32): void {
  const whole = (count & ~3) << 2;
  for (let i = 0; i < whole; i += 16) v128.store(out + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  const tail = count & 3;
  if (tail) storeLanes(out + whole, f32x4.add(loadLanes(a + whole, tail), loadLanes(b + whole, tail)), tail);
}

/** Floats whose products are summed in float32 before the sum goes on in float64. */
const DOT_CHUNK: i32 = 1024;

/** Sum of a * b. */
export function dot(a: usize, b: usize, count: i32): f64 {
  let result: f64 = 0;
  for (let first = 0; first < count; first += DOT_CHUNK) {
    const floats = min(DOT_CHUNK, count - first);
    const end = a + (floats << 2);
    let even = zeros();
    let odd = zeros();
    for (; a + 32 <= end; a += 32, b += 32) {
      even = madd(v128.load(a), v128.load(b), even);
      odd = madd(v128.load(a, 16), v128.load(b, 16), odd);
    }
    for (; a < end; a += 16, b += 16) {
      const lanes = min(4, <i32>(end - a) >> 2);
      even = madd(loadLanes(a, lanes), loadLanes(b, lanes), even);
    }
    result += <f64>total(f32x4.add(even, odd));
  }
  return result;
}

// @ts-ignore: decorator
@inline
function sgdStepAt(
  weight: usize,
  velocity: usize,
  gradient: usize,
  newWeight: usize,
  newVelocity: usize,
  lanes: i32,
  learningRate: f32,
  momentum: f32,
  nesterov: i32,
  weightDecay: f32,
): void {
  const keep = f32x4.splat(momentum);
  const w = read(weight, lanes);
  const g = f32x4.add(read(gradient, lanes), f32x4.mul(f32x4.splat(weightDecay), w));
  const v = f32x4.add(f32x4.mul(keep, read(velocity, lanes)), g);
  const direction = nesterov ? f32x4.add(g, f32x4.mul(keep, v)) : v;
  write(newVelocity, v, lanes);
  write(newWeight, f32x4.sub(w, f32x4.mul(f32x4.splat(learningRate), direction)), lanes);
}

/** One step of stochastic gradient descent; see executor/sgd.ts. Outputs may be the inputs. */
export function sgdStep(
  weight: usize,
  velocity: usize,
  gradient: usize,
  newWeight: usize,
  newVelocity: usize,
  count: i32,
  learningRate: f32,
  momentum: f32,
  nesterov: i32,
  weightDecay: f32,
): void {
  const whole = (count & ~3) << 2;
  for (let i = 0; i < whole; i += 16) {
    sgdStepAt(weight + i, velocity + i, gradient + i, newWeight + i, newVelocity + i, 4, learningRate, momentum, nesterov, weightDecay);
  }
  const tail = count & 3;
  if (tail) {
    sgdStepAt(
      weight + whole, velocity + whole, gradient + whole, newWeight + whole, newVelocity + whole, tail, learningRate, momentum,
      nesterov, weightDecay,
    );
  }
}

// @ts-ignore: decorator
@inline
function averageColumn(x: usize, y: usize, positions: i32, stride: i32, lanes: i32): void {
  let result = zeros();
  for (let position = 0; position < positions; position++) {
    result = f32x4.add(result, read(x, lanes));
    x += stride;
  }
  write(y, f32x4.mul(result, f32x4.splat(<f32>1 / <f32>positions)), lanes);
}

/** y[batch, channels] = mean over positions of x[batch, positions, channels]. */
export function averagePositions(
  x: usize,
  y: usize,
  batch: i32,
  positions: i32,
  channels: i32,
): void {
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  for (let image = 0; image < batch; image++) {
    for (let c = 0; c < whole; c += 16) averageColumn(x + c, y + c, positions, stride, 4);
    if (tail) averageColumn(x + whole, y + whole, positions, stride, tail);
    x += positions * stride;
    y += stride;
  }
}

/** dx[batch, positions, channels] = dy[batch, channels] / positions. */
export function averagePositionsGradient(
  dy: usize,
  dx: usize,
  batch: i32,
  positions: i32,
  channels: i32,
): void {
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  const share = f32x4.splat(<f32>1 / <f32>positions);
  for (let image = 0; image < batch; image++) {
    for (let position = 0; position < positions; position++) {
      for (let c = 0; c < whole; c += 16) v128.store(dx + c, f32x4.mul(v128.load(dy + c), share));
      if (tail) storeLanes(dx + whole, f32x4.mul(loadLanes(dy + whole, tail), share), tail);
      dx += stride;
    }
    dy += stride;
  }
}

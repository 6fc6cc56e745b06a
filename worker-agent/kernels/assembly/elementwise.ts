// Kernels over flat arrays, and the averages over an image. `count` is in floats.

import { loadLanes, madd, storeLanes, total, zeros } from './simd';

/** dx = dy where 0 < x < 6, otherwise 0. */
export function relu6Gradient(x: usize, dy: usize, dx: usize, count: i32): void {
  const bytes = count << 2;
  for (let i = 0; i < bytes; i += 16) {
    const lanes = min(4, (bytes - i) >> 2);
    const value = loadLanes(x + i, lanes);
    const open = v128.and(f32x4.gt(value, zeros()), f32x4.lt(value, f32x4.splat(6)));
    storeLanes(dx + i, v128.and(loadLanes(dy + i, lanes), open), lanes);
  }
}

export function sum(a: usize, b: usize, out: usize, count: i32): void {
  const bytes = count << 2;
  for (let i = 0; i < bytes; i += 16) {
    const lanes = min(4, (bytes - i) >> 2);
    storeLanes(out + i, f32x4.add(loadLanes(a + i, lanes), loadLanes(b + i, lanes)), lanes);
  }
}

/** Floats whose products are summed in float32 before the sum goes on in float64. */
const DOT_CHUNK: i32 = 1024;

/** Sum of a * b. */
export function dot(a: usize, b: usize, count: i32): f64 {
  let result: f64 = 0;
  for (let first = 0; first < count; first += DOT_CHUNK) {
    const bytes = min(DOT_CHUNK, count - first) << 2;
    const start = first << 2;
    let partial = zeros();
    for (let i = 0; i < bytes; i += 16) {
      const lanes = min(4, (bytes - i) >> 2);
      partial = madd(loadLanes(a + start + i, lanes), loadLanes(b + start + i, lanes), partial);
    }
    result += <f64>total(partial);
  }
  return result;
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
  const bytes = count << 2;
  const decay = f32x4.splat(weightDecay);
  const keep = f32x4.splat(momentum);
  const rate = f32x4.splat(learningRate);
  for (let i = 0; i < bytes; i += 16) {
    const lanes = min(4, (bytes - i) >> 2);
    const w = loadLanes(weight + i, lanes);
    const g = f32x4.add(loadLanes(gradient + i, lanes), f32x4.mul(decay, w));
    const v = f32x4.add(f32x4.mul(keep, loadLanes(velocity + i, lanes)), g);
    const direction = nesterov ? f32x4.add(g, f32x4.mul(keep, v)) : v;
    storeLanes(newVelocity + i, v, lanes);
    storeLanes(newWeight + i, f32x4.sub(w, f32x4.mul(rate, direction)), lanes);
  }
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
  const share = f32x4.splat(<f32>1 / <f32>positions);
  for (let image = 0; image < batch; image++) {
    for (let c = 0; c < stride; c += 16) {
      const lanes = min(4, (stride - c) >> 2);
      let result = zeros();
      for (let position = 0; position < positions; position++) {
        result = f32x4.add(result, loadLanes(x + position * stride + c, lanes));
      }
      storeLanes(y + c, f32x4.mul(result, share), lanes);
    }
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
  const share = f32x4.splat(<f32>1 / <f32>positions);
  for (let image = 0; image < batch; image++) {
    for (let position = 0; position < positions; position++) {
      for (let c = 0; c < stride; c += 16) {
        const lanes = min(4, (stride - c) >> 2);
        storeLanes(dx + c, f32x4.mul(loadLanes(dy + c, lanes), share), lanes);
      }
      dx += stride;
    }
    dy += stride;
  }
}

// Batch normalisation (Ioffe and Szegedy 2015) with an optional ReLU or ReLU6 behind it, over rows of x[rows, channels]:
//   z = (x - mean) * scale + beta,  scale = gamma / sqrt(variance + epsilon),  y = z, or clamp(z, 0, limit)
//   dz = dy, or dy where 0 < z < limit;  limit = 6 for ReLU6, infinity for ReLU
//   dbeta = sum dz,  dgamma = sum dz * (x - mean) / sqrt(variance + epsilon)
//   dx = scale * (dz - dbeta / rows - (x - mean) * slope),  slope = dgamma / (rows * sqrt(variance + epsilon))
// What convolutions do to a few rows while these are in the cache, so that neither y nor dx is ever written to memory:
// both are recomputed where they are read.
//
// `norm` is [3, channels]: mean, scale, beta. `coefficients` is [5, channels]: the same and then dbeta / rows, slope.
// Rows are taken a few at a time, all channels of these before the next: memory is read in order and fetched ahead.

import { loadLanes, madd, storeLanes, zeros } from './simd';

/** Longer runs are slower where rows come from memory: their strided reads defeat the hardware's prefetching. */
const ROWS: i32 = 4;

/** Numbers that activations have here; 0 is none. The same as in kernels/wasm.ts. */
const RELU6: i32 = 1;

/** What an activation cuts off above. */
// @ts-ignore: decorator
@inline
export function limitOf(activation: i32): v128 {
  return f32x4.splat(activation == RELU6 ? <f32>6 : <f32>Infinity);
}

/** pmax(a, b) is a < b ? b : a, so that NaN stays NaN only as the first argument. */
// @ts-ignore: decorator
@inline
export function clamp(z: v128, limit: v128): v128 {
  return f32x4.pmin(f32x4.pmax(z, zeros()), limit);
}

/** dy where the activation let it through. */
// @ts-ignore: decorator
@inline
export function throughClamp(dy: v128, z: v128, limit: v128): v128 {
  return v128.and(dy, v128.and(f32x4.gt(z, zeros()), f32x4.lt(z, limit)));
}

/** `lanes` is the constant 4 for all but the last channels: the compiler drops the branch. */
// @ts-ignore: decorator
@inline
export function read(source: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(source) : loadLanes(source, lanes);
}

// @ts-ignore: decorator
@inline
export function write(target: usize, value: v128, lanes: i32): void {
  if (lanes == 4) v128.store(target, value);
  else storeLanes(target, value, lanes);
}

// @ts-ignore: decorator
@inline
export function addTo(target: usize, value: v128, lanes: i32): void {
  write(target, f32x4.add(read(target, lanes), value), lanes);
}

// @ts-ignore: decorator
@inline
function inverseDeviation(variance: v128, epsilon: f32): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.sqrt(f32x4.add(variance, f32x4.splat(epsilon))));
}

/** Writes `norm` from a batch-norm's vectors. */
export function prepareNorm(
  mean: usize,
  variance: usize,
  gamma: usize,
  beta: usize,
  norm: usize,
  channels: i32,
  epsilon: f32,
): void {
  const bytes = channels << 2;
  memory.copy(norm, mean, bytes);
  memory.copy(norm + 2 * bytes, beta, bytes);
  for (let c = 0; c < bytes; c += 16) {
    const lanes = min(4, (bytes - c) >> 2);
    const inverse = inverseDeviation(loadLanes(variance + c, lanes), epsilon);
    storeLanes(norm + bytes + c, f32x4.mul(loadLanes(gamma + c, lanes), inverse), lanes);
  }
}

// @ts-ignore: decorator
@inline
function normaliseColumn(
  lanes: i32,
  source: usize,
  target: usize,
  norm: usize,
  rows: i32,
  stride: i32,
  activation: i32,
  limit: v128,
): void {
  const centre = read(norm, lanes);
  const scale = read(norm + stride, lanes);
  const offset = read(norm + 2 * stride, lanes);
  for (let row = 0; row < rows; row++) {
    const z = madd(f32x4.sub(read(source, lanes), centre), scale, offset);
    write(target, activation ? clamp(z, limit) : z, lanes);
    source += stride;
    target += stride;
  }
}

/** target = y of x; they may be the same. */
export function normaliseRows(x: usize, target: usize, norm: usize, rows: i32, channels: i32, activation: i32): void {
  const limit = limitOf(activation);
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    const at = first * stride;
    for (let c = 0; c < whole; c += 16) {
      normaliseColumn(4, x + at + c, target + at + c, norm + c, count, stride, activation, limit);
    }
    if (tail) normaliseColumn(tail, x + at + whole, target + at + whole, norm + whole, count, stride, activation, limit);
  }
}

// @ts-ignore: decorator
@inline
function gradientColumn(
  lanes: i32,
  x: usize,
  dy: usize,
  target: usize,
  coefficients: usize,
  rows: i32,
  stride: i32,
  activation: i32,
  limit: v128,
): void {
  const centre = read(coefficients, lanes);
  const scale = read(coefficients + stride, lanes);
  const offset = read(coefficients + 2 * stride, lanes);
  const meanSum = read(coefficients + 3 * stride, lanes);
  const slope = read(coefficients + 4 * stride, lanes);
  for (let row = 0; row < rows; row++) {
    const d = f32x4.sub(read(x, lanes), centre);
    let dz = read(dy, lanes);
    if (activation) dz = throughClamp(dz, madd(d, scale, offset), limit);
    const centred = f32x4.sub(f32x4.sub(dz, meanSum), f32x4.mul(d, slope));
    write(target, f32x4.mul(centred, scale), lanes);
    x += stride;
    dy += stride;
    target += stride;
  }
}

/** target = dx, from the batch-norm's input x and dy; it may be the same as dy. */
export function gradientRows(
  x: usize,
  dy: usize,
  target: usize,
  coefficients: usize,
  rows: i32,
  channels: i32,
  activation: i32,
): void {
  const limit = limitOf(activation);
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    const at = first * stride;
    for (let c = 0; c < whole; c += 16) {
      gradientColumn(4, x + at + c, dy + at + c, target + at + c, coefficients + c, count, stride, activation, limit);
    }
    if (tail) {
      const last = at + whole;
      gradientColumn(tail, x + last, dy + last, target + last, coefficients + whole, count, stride, activation, limit);
    }
  }
}

// @ts-ignore: decorator
@inline
function sumGradientColumn(
  lanes: i32,
  x: usize,
  dy: usize,
  norm: usize,
  sums: usize,
  rows: i32,
  stride: i32,
  activation: i32,
  limit: v128,
): void {
  const centre = read(norm, lanes);
  const scale = read(norm + stride, lanes);
  const offset = read(norm + 2 * stride, lanes);
  let sum = zeros();
  let weighted = zeros();
  for (let row = 0; row < rows; row++) {
    const d = f32x4.sub(read(x, lanes), centre);
    let dz = read(dy, lanes);
    if (activation) dz = throughClamp(dz, madd(d, scale, offset), limit);
    sum = f32x4.add(sum, dz);
    weighted = madd(dz, d, weighted);
    x += stride;
    dy += stride;
  }
  addTo(sums, sum, lanes);
  addTo(sums + stride, weighted, lanes);
}

/** Adds to sums[2, channels]: sum dz and sum dz * (x - mean). */
export function sumGradientRows(
  x: usize,
  dy: usize,
  norm: usize,
  sums: usize,
  rows: i32,
  channels: i32,
  activation: i32,
): void {
  const limit = limitOf(activation);
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    const at = first * stride;
    for (let c = 0; c < whole; c += 16) {
      sumGradientColumn(4, x + at + c, dy + at + c, norm + c, sums + c, count, stride, activation, limit);
    }
    if (tail) sumGradientColumn(tail, x + at + whole, dy + at + whole, norm + whole, sums + whole, count, stride, activation, limit);
  }
}

/** From sums[2, channels] over `rows` rows: coefficients [5, channels] (its first three are `norm`), dgamma, dbeta. */
export function finishGradient(
  sums: usize,
  norm: usize,
  variance: usize,
  coefficients: usize,
  dgamma: usize,
  dbeta: usize,
  rows: i32,
  channels: i32,
  epsilon: f32,
): void {
  const bytes = channels << 2;
  if (coefficients != norm) memory.copy(coefficients, norm, 3 * bytes);
  memory.copy(dbeta, sums, bytes);
  const meanSums = coefficients + 3 * bytes;
  const share = f32x4.splat(<f32>1 / <f32>rows);
  for (let c = 0; c < bytes; c += 16) {
    const lanes = min(4, (bytes - c) >> 2);
    const inverse = inverseDeviation(loadLanes(variance + c, lanes), epsilon);
    const weighted = f32x4.mul(loadLanes(sums + bytes + c, lanes), inverse);
    storeLanes(dgamma + c, weighted, lanes);
    storeLanes(meanSums + c, f32x4.mul(loadLanes(sums + c, lanes), share), lanes);
    storeLanes(meanSums + bytes + c, f32x4.mul(f32x4.mul(weighted, share), inverse), lanes);
  }
}

/** Adds to sums[2, channels] the sum of x - shift and of its square; see moments.ts. */
// @ts-ignore: decorator
@inline
export function sumColumn(lanes: i32, source: usize, shiftAt: usize, sums: usize, rows: i32, stride: i32): void {
  const shift = read(shiftAt, lanes);
  let sum = zeros();
  let squares = zeros();
  for (let row = 0; row < rows; row++) {
    const d = f32x4.sub(read(source, lanes), shift);
    sum = f32x4.add(sum, d);
    squares = madd(d, d, squares);
    source += stride;
  }
  addTo(sums, sum, lanes);
  addTo(sums + stride, squares, lanes);
}

// Batch normalisation (Ioffe and Szegedy 2015) with an optional ReLU6 behind it, over x[rows, channels].
//   xhat = (x - mean) / sqrt(variance + epsilon),  z = gamma * xhat + beta,  y = relu6 ? clamp(z, 0, 6) : z
//   dz = relu6 ? dy where 0 < z < 6 : dy,  dbeta = sum dz,  dgamma = sum dz * xhat
//   dx = gamma / sqrt(variance + epsilon) * (dz - dbeta / rows - xhat * dgamma / rows)
// Four channels at a time, down a few rows: all channels of these rows are done before the next rows are read, so that
// memory is read in order and the processor fetches it ahead. Each few rows are summed by themselves before they are added
// to the total: short float32 sums lose less. `scratch` holds per-channel constants: three vectors of `channels` floats.

import { loadLanes, madd, storeLanes, zeros } from './simd';

/** Longer chunks are slower, as is going backwards: their strided reads defeat the hardware's prefetching. */
const ROWS: i32 = 4;

// @ts-ignore: decorator
@inline
function inverseDeviation(variance: v128, epsilon: f32): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.sqrt(f32x4.add(variance, f32x4.splat(epsilon))));
}

// @ts-ignore: decorator
@inline
function clampToSix(z: v128): v128 {
  return f32x4.pmin(f32x4.splat(6), f32x4.pmax(zeros(), z));
}

/** gamma / sqrt(variance + epsilon). */
function storeScale(variance: usize, gamma: usize, scale: usize, bytes: i32, epsilon: f32): void {
  for (let c = 0; c < bytes; c += 16) {
    const lanes = min(4, (bytes - c) >> 2);
    const inverse = inverseDeviation(loadLanes(variance + c, lanes), epsilon);
    storeLanes(scale + c, f32x4.mul(loadLanes(gamma + c, lanes), inverse), lanes);
  }
}

/** `lanes` is the constant 4 for all but the last channels: the compiler drops the branch. */
// @ts-ignore: decorator
@inline
function read(source: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(source) : loadLanes(source, lanes);
}

// @ts-ignore: decorator
@inline
function write(target: usize, value: v128, lanes: i32): void {
  if (lanes == 4) v128.store(target, value);
  else storeLanes(target, value, lanes);
}

// @ts-ignore: decorator
@inline
function addTo(target: usize, value: v128, lanes: i32): void {
  write(target, f32x4.add(read(target, lanes), value), lanes);
}

// @ts-ignore: decorator
@inline
function sumColumn(
  lanes: i32,
  source: usize,
  shiftAt: usize,
  sumAt: usize,
  squaresAt: usize,
  rows: i32,
  stride: i32,
): void {
  const shift = read(shiftAt, lanes);
  let sum = zeros();
  let squares = zeros();
  for (let row = 0; row < rows; row++) {
    const d = f32x4.sub(read(source, lanes), shift);
    sum = f32x4.add(sum, d);
    squares = madd(d, d, squares);
    source += stride;
  }
  addTo(sumAt, sum, lanes);
  addTo(squaresAt, squares, lanes);
}

/**
 * Mean and biased variance per channel. Sums are taken of x minus the first row, which is a few deviations from the
 * mean at most, so that the difference of squares loses no precision to a large mean.
 */
export function channelStatistics(
  x: usize,
  mean: usize,
  variance: usize,
  rows: i32,
  channels: i32,
): void {
  const stride = channels << 2;
  const whole = stride & ~15;
  const tail = channels & 3;
  memory.fill(mean, 0, stride);
  memory.fill(variance, 0, stride);
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    const start = x + first * stride;
    for (let c = 0; c < whole; c += 16) {
      sumColumn(4, start + c, x + c, mean + c, variance + c, count, stride);
    }
    if (tail) {
      sumColumn(tail, start + whole, x + whole, mean + whole, variance + whole, count, stride);
    }
  }
  const share = f32x4.splat(<f32>1 / <f32>rows);
  for (let c = 0; c < stride; c += 16) {
    const lanes = min(4, (stride - c) >> 2);
    const shifted = f32x4.mul(loadLanes(mean + c, lanes), share);
    const squares = f32x4.mul(loadLanes(variance + c, lanes), share);
    const biased = f32x4.sub(squares, f32x4.mul(shifted, shifted));
    storeLanes(mean + c, f32x4.add(shifted, loadLanes(x + c, lanes)), lanes);
    // Not below zero by rounding; a NaN stays one.
    storeLanes(variance + c, f32x4.pmax(biased, zeros()), lanes);
  }
}

// @ts-ignore: decorator
@inline
function normaliseColumn(
  lanes: i32,
  source: usize,
  target: usize,
  centre: v128,
  scale: v128,
  offset: v128,
  rows: i32,
  stride: i32,
  relu6: i32,
): void {
  for (let row = 0; row < rows; row++) {
    const z = madd(f32x4.sub(read(source, lanes), centre), scale, offset);
    write(target, relu6 ? clampToSix(z) : z, lanes);
    source += stride;
    target += stride;
  }
}

export function normalise(
  x: usize,
  mean: usize,
  variance: usize,
  gamma: usize,
  beta: usize,
  y: usize,
  scratch: usize,
  rows: i32,
  channels: i32,
  epsilon: f32,
  relu6: i32,
): void {
  const stride = channels << 2;
  storeScale(variance, gamma, scratch, stride, epsilon);
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    for (let c = 0; c < stride; c += 16) {
      const lanes = min(4, (stride - c) >> 2);
      const scale = loadLanes(scratch + c, lanes);
      const centre = loadLanes(mean + c, lanes);
      const offset = loadLanes(beta + c, lanes);
      const at = first * stride + c;
      if (lanes == 4) normaliseColumn(4, x + at, y + at, centre, scale, offset, count, stride, relu6);
      else normaliseColumn(lanes, x + at, y + at, centre, scale, offset, count, stride, relu6);
    }
  }
}

/** dy where the activation let it through. */
// @ts-ignore: decorator
@inline
function throughRelu6(dy: v128, z: v128): v128 {
  return v128.and(dy, v128.and(f32x4.gt(z, zeros()), f32x4.lt(z, f32x4.splat(6))));
}

/** Adds sum dz and sum dz * (x - mean) of a few rows. */
// @ts-ignore: decorator
@inline
function sumGradientColumn(
  lanes: i32,
  x: usize,
  dy: usize,
  centre: v128,
  scale: v128,
  offset: v128,
  sumAt: usize,
  weightedAt: usize,
  rows: i32,
  stride: i32,
  relu6: i32,
): void {
  let sum = zeros();
  let weighted = zeros();
  for (let row = 0; row < rows; row++) {
    const d = f32x4.sub(read(x, lanes), centre);
    let dz = read(dy, lanes);
    if (relu6) dz = throughRelu6(dz, madd(d, scale, offset));
    sum = f32x4.add(sum, dz);
    weighted = madd(dz, d, weighted);
    x += stride;
    dy += stride;
  }
  addTo(sumAt, sum, lanes);
  addTo(weightedAt, weighted, lanes);
}

/** dx = scale * (dz - meanSum - (x - mean) * slope). */
// @ts-ignore: decorator
@inline
function gradientColumn(
  lanes: i32,
  x: usize,
  dy: usize,
  dx: usize,
  centre: v128,
  scale: v128,
  offset: v128,
  meanSum: v128,
  slope: v128,
  rows: i32,
  stride: i32,
  relu6: i32,
): void {
  for (let row = 0; row < rows; row++) {
    const d = f32x4.sub(read(x, lanes), centre);
    let dz = read(dy, lanes);
    if (relu6) dz = throughRelu6(dz, madd(d, scale, offset));
    const centred = f32x4.sub(f32x4.sub(dz, meanSum), f32x4.mul(d, slope));
    write(dx, f32x4.mul(centred, scale), lanes);
    x += stride;
    dy += stride;
    dx += stride;
  }
}

export function normaliseGradient(
  x: usize,
  dy: usize,
  mean: usize,
  variance: usize,
  gamma: usize,
  beta: usize,
  dx: usize,
  dgamma: usize,
  dbeta: usize,
  scratch: usize,
  rows: i32,
  channels: i32,
  epsilon: f32,
  relu6: i32,
): void {
  const stride = channels << 2;
  const meanSums = scratch + stride;
  const slopes = meanSums + stride;
  storeScale(variance, gamma, scratch, stride, epsilon);
  memory.fill(dgamma, 0, stride);
  memory.fill(dbeta, 0, stride);
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    for (let c = 0; c < stride; c += 16) {
      const lanes = min(4, (stride - c) >> 2);
      const centre = loadLanes(mean + c, lanes);
      const scale = loadLanes(scratch + c, lanes);
      const offset = loadLanes(beta + c, lanes);
      const at = first * stride + c;
      if (lanes == 4) {
        sumGradientColumn(4, x + at, dy + at, centre, scale, offset, dbeta + c, dgamma + c, count, stride, relu6);
      } else {
        sumGradientColumn(lanes, x + at, dy + at, centre, scale, offset, dbeta + c, dgamma + c, count, stride, relu6);
      }
    }
  }
  const share = f32x4.splat(<f32>1 / <f32>rows);
  for (let c = 0; c < stride; c += 16) {
    const lanes = min(4, (stride - c) >> 2);
    const inverse = inverseDeviation(loadLanes(variance + c, lanes), epsilon);
    const weighted = f32x4.mul(loadLanes(dgamma + c, lanes), inverse);
    storeLanes(dgamma + c, weighted, lanes);
    storeLanes(meanSums + c, f32x4.mul(loadLanes(dbeta + c, lanes), share), lanes);
    storeLanes(slopes + c, f32x4.mul(f32x4.mul(weighted, share), inverse), lanes);
  }
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first);
    for (let c = 0; c < stride; c += 16) {
      const lanes = min(4, (stride - c) >> 2);
      const centre = loadLanes(mean + c, lanes);
      const scale = loadLanes(scratch + c, lanes);
      const offset = loadLanes(beta + c, lanes);
      const meanSum = loadLanes(meanSums + c, lanes);
      const slope = loadLanes(slopes + c, lanes);
      const at = first * stride + c;
      if (lanes == 4) {
        gradientColumn(4, x + at, dy + at, dx + at, centre, scale, offset, meanSum, slope, count, stride, relu6);
      } else {
        gradientColumn(lanes, x + at, dy + at, dx + at, centre, scale, offset, meanSum, slope, count, stride, relu6);
      }
    }
  }
}

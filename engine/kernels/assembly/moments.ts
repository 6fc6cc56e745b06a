// Mean and biased variance per channel, in one pass over rows that come a few at a time.
//
// A plain sum of squares loses the variance to rounding wherever the mean is large, and so does one about a value that lies
// far from the mean, such as a constant border. So rows are summed about a shift that is close to their mean, in float32 and
// at most RUN of them; then the run is merged into float64 (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise
// algorithm for computing sample variances"), and the mean so far becomes the shift:
//   run of n rows:  m = shift + S1 / n,  Q = S2 - S1² / n,  S1 = sum (x - shift),  S2 = sum (x - shift)²
//   merged with N:  d = m - mean,  mean += d * n / (N + n),  M2 += Q + d² * n * N / (N + n)
// The first shift is the mean of the first few rows: rows that are in the sum themselves, so their distance d from the mean of
// the run is in Q as well, and S2 is never more than (1 + RUN / START_ROWS) Q.
//
// `moments`, [7, channels] floats and two integers, all 0 at the start: S1, S2, shift, then mean and M2 as float64, then how
// many rows are in S1 and S2, and how many are merged.

import { addTo, read, sumColumn, write } from './normalised';
import { loadLanes, madd, storeLanes, zeros } from './simd';

/** Rows in one float32 sum: its rounding errors grow with their number, the cost of merging shrinks. */
const RUN: i32 = 256;

/** Rows that the first shift is the mean of. */
const START_ROWS: i32 = 16;

/** Rows that are summed by themselves, all channels of these before the next: see ROWS in normalised.ts. */
const ROWS: i32 = 4;

// @ts-ignore: decorator
@inline
function countsAt(moments: usize, channels: i32): usize {
  return moments + 7 * (channels << 2);
}

// @ts-ignore: decorator
@inline
export function pendingRows(moments: usize, channels: i32): i32 {
  return load<i32>(countsAt(moments, channels));
}

// @ts-ignore: decorator
@inline
export function mergedRows(moments: usize, channels: i32): i32 {
  return load<i32>(countsAt(moments, channels), 4);
}

// @ts-ignore: decorator
@inline
function storeCounts(moments: usize, channels: i32, pending: i32, merged: i32): void {
  store<i32>(countsAt(moments, channels), pending);
  store<i32>(countsAt(moments, channels), merged, 4);
}

export function clearMoments(moments: usize, channels: i32): void {
  memory.fill(moments, 0, 7 * (channels << 2) + 8);
}

/** Writes the first shift of up to four channels: the mean of the first of `rows` rows, which are `stride` bytes apart. */
function startColumn(lanes: i32, source: usize, stride: i32, shiftAt: usize, rows: i32): void {
  const count = min(START_ROWS, rows);
  const first = loadLanes(source, lanes);
  let sum = zeros();
  for (let row = 1; row < count; row++) {
    source += stride;
    sum = f32x4.add(sum, f32x4.sub(loadLanes(source, lanes), first));
  }
  storeLanes(shiftAt, f32x4.add(first, f32x4.mul(sum, f32x4.splat(<f32>1 / <f32>count))), lanes);
}

// @ts-ignore: decorator
@inline
function loadWide(source: usize, width: i32): v128 {
  return f64x2.promote_low_f32x4(width == 2 ? v128.load64_zero(source) : v128.load32_zero(source));
}

// @ts-ignore: decorator
@inline
function storeFloats(target: usize, value: v128, width: i32): void {
  if (width == 2) v128.store64_lane(target, value, 0);
  else v128.store32_lane(target, value, 0);
}

// @ts-ignore: decorator
@inline
function storeWide(target: usize, value: v128, width: i32): void {
  if (width == 2) v128.store(target, value);
  else v128.store64_lane(target, value, 0);
}

/**
 * Merges the run of one or two channels. `at`: their S1; `wide`: their mean; `bytes`: of a vector of floats; of n rows that are
 * merged with N: 1 / n, n / (N + n), n * N / (N + n).
 */
// @ts-ignore: decorator
@inline
function mergePair(width: i32, at: usize, wide: usize, bytes: i32, share: v128, weight: v128, between: v128): void {
  const sum = loadWide(at, width);
  const offset = f64x2.mul(sum, share);
  const spread = f64x2.sub(loadWide(at + bytes, width), f64x2.mul(sum, offset));
  const mean = width == 2 ? v128.load(wide) : v128.load64_zero(wide);
  const squares = width == 2 ? v128.load(wide + 2 * bytes) : v128.load64_zero(wide + 2 * bytes);
  const distance = f64x2.sub(f64x2.add(loadWide(at + 2 * bytes, width), offset), mean);
  const next = f64x2.add(mean, f64x2.mul(distance, weight));
  // Not below zero by rounding; a NaN stays one.
  const within = f64x2.max(spread, f64x2.splat(0));
  storeWide(wide, next, width);
  const across = f64x2.mul(f64x2.mul(distance, distance), between);
  storeWide(wide + 2 * bytes, f64x2.add(squares, f64x2.add(within, across)), width);
  storeFloats(at, zeros(), width);
  storeFloats(at + bytes, zeros(), width);
  storeFloats(at + 2 * bytes, f32x4.demote_f64x2_zero(next), width);
}

/** Merges the run of `count` channels from `first` on. */
function mergeRun(moments: usize, channels: i32, first: i32, count: i32, pending: i32, merged: i32): void {
  const bytes = channels << 2;
  const end = first + count;
  const total = <f64>pending + <f64>merged;
  const share = f64x2.splat(1 / <f64>pending);
  const weight = f64x2.splat(<f64>pending / total);
  const between = f64x2.splat((<f64>pending * <f64>merged) / total);
  let at = moments + (first << 2);
  let wide = moments + 3 * bytes + (first << 3);
  let c = first;
  for (; c + 2 <= end; c += 2) {
    mergePair(2, at, wide, bytes, share, weight, between);
    at += 8;
    wide += 16;
  }
  if (c < end) mergePair(1, at, wide, bytes, share, weight, between);
}

/** Adds rows of x[rows, channels]. */
export function addRows(x: usize, moments: usize, rows: i32, channels: i32): void {
  const stride = channels << 2;
  const shift = moments + 2 * stride;
  const whole = stride & ~15;
  const tail = channels & 3;
  let pending = pendingRows(moments, channels);
  let merged = mergedRows(moments, channels);
  if (pending + merged == 0) {
    for (let c = 0; c < stride; c += 16) startColumn(min(4, (stride - c) >> 2), x + c, stride, shift + c, rows);
  }
  while (rows > 0) {
    const run = min(rows, RUN - pending);
    for (let first = 0; first < run; first += ROWS) {
      const count = min(ROWS, run - first);
      for (let c = 0; c < whole; c += 16) sumColumn(4, x + c, shift + c, moments + c, count, stride);
      if (tail) sumColumn(tail, x + whole, shift + whole, moments + whole, count, stride);
      x += count * stride;
    }
    pending += run;
    rows -= run;
    if (pending < RUN) break;
    mergeRun(moments, channels, 0, channels, pending, merged);
    merged += pending;
    pending = 0;
  }
  storeCounts(moments, channels, pending, merged);
}

/** S1 and S2 of a run of vectors. */
function sumVectors(source: usize, moments: usize, bytes: i32, lanes: i32, count: i32): void {
  const shift = loadLanes(moments + 2 * bytes, lanes);
  // Two of each: one sum alone would wait for its own last addition.
  let sum = zeros();
  let squares = zeros();
  let oddSum = zeros();
  let oddSquares = zeros();
  for (; count >= 2; count -= 2) {
    const d = f32x4.sub(v128.load(source), shift);
    const odd = f32x4.sub(v128.load(source, 16), shift);
    sum = f32x4.add(sum, d);
    squares = madd(d, d, squares);
    oddSum = f32x4.add(oddSum, odd);
    oddSquares = madd(odd, odd, oddSquares);
    source += 32;
  }
  if (count) {
    const d = f32x4.sub(v128.load(source), shift);
    sum = f32x4.add(sum, d);
    squares = madd(d, d, squares);
  }
  addTo(moments, f32x4.add(sum, oddSum), lanes);
  addTo(moments + bytes, f32x4.add(squares, oddSquares), lanes);
}

/**
 * Adds a plane of `count` vectors of the `lanes` channels from `channel` on. The counts stay: `endPlanes` moves them once all
 * channels have added their planes.
 */
export function addPlane(plane: usize, moments: usize, channels: i32, channel: i32, lanes: i32, count: i32): void {
  const bytes = channels << 2;
  const at = moments + (channel << 2);
  let pending = pendingRows(moments, channels);
  let merged = mergedRows(moments, channels);
  if (pending + merged == 0) startColumn(lanes, plane, 16, at + 2 * bytes, count);
  while (count > 0) {
    const run = min(count, RUN - pending);
    sumVectors(plane, at, bytes, lanes, run);
    plane += run << 4;
    pending += run;
    count -= run;
    if (pending < RUN) break;
    mergeRun(moments, channels, channel, lanes, pending, merged);
    merged += pending;
    pending = 0;
  }
}

/** Every channel has added a plane of `count` vectors. */
export function endPlanes(moments: usize, channels: i32, count: i32): void {
  const all = pendingRows(moments, channels) + count;
  const pending = all % RUN;
  storeCounts(moments, channels, pending, mergedRows(moments, channels) + all - pending);
}

/** Mean and biased variance of all rows that were added. */
export function finishMoments(moments: usize, mean: usize, variance: usize, channels: i32): void {
  const pending = pendingRows(moments, channels);
  const merged = mergedRows(moments, channels);
  if (pending) mergeRun(moments, channels, 0, channels, pending, merged);
  const wide = moments + 3 * (channels << 2);
  const rows = <f64>(pending + merged);
  for (let c = 0; c < channels; c++) {
    store<f32>(mean + (c << 2), <f32>load<f64>(wide + (c << 3)));
    store<f32>(variance + (c << 2), <f32>(load<f64>(wide + ((channels + c) << 3)) / rows));
  }
}

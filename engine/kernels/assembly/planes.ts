// Correlations of small planes, the inner loops of the depthwise kernels. A plane holds four channels of one image as
// [rows][columns] vectors, so that it fits the first-level cache and a tap is one load. `taps` and `width` are constants
// of each specialisation: the compiler drops the statements whose guard is false, and the filter row stays in registers.
//
// The order of statements is what makes these loops reach the machine's peak (docs/performance.md). V8 keeps loads and
// stores in order but moves arithmetic down to where its result is needed; a block of many sums thus becomes all loads
// first, which registers do not hold. Here every sum is stored before the next input is loaded. Sums of different
// columns do not depend on each other, so the processor overlaps them by itself.

import { madd, zeros } from './simd';

// The numbers 1 to 7 as types, by the size of what they hold: a generic function is compiled once for each. Inlined into one
// function, the specialisations take the optimiser more than a minute; as functions of their own, seconds (its time grows
// faster than a function's size), and the calls cost 1 to 2 % of a forward pass over planes of 4×4 to 14×14.
class One { a: u8 }
class Two extends One { b: u8 }
class Three extends Two { c: u8 }
class Four extends Three { d: u8 }
class Five extends Four { e: u8 }
class Six extends Five { f: u8 }
class Seven extends Six { g: u8 }

/** One output: the sum of up to 7 products, stored at once. */
// @ts-ignore: decorator
@inline
function storeSum(
  taps: i32,
  accumulate: bool,
  out: usize,
  x0: v128,
  x1: v128,
  x2: v128,
  x3: v128,
  x4: v128,
  x5: v128,
  x6: v128,
  f0: v128,
  f1: v128,
  f2: v128,
  f3: v128,
  f4: v128,
  f5: v128,
  f6: v128,
): void {
  let sum = accumulate ? madd(x0, f0, v128.load(out)) : f32x4.mul(x0, f0);
  if (taps > 1) sum = madd(x1, f1, sum);
  if (taps > 2) sum = madd(x2, f2, sum);
  if (taps > 3) sum = madd(x3, f3, sum);
  if (taps > 4) sum = madd(x4, f4, sum);
  if (taps > 5) sum = madd(x5, f5, sum);
  if (taps > 6) sum = madd(x6, f6, sum);
  v128.store(out, sum);
}

/**
 * One row of a filter over one row of a plane: out[j] (+)= sum over t of row[j + t] * f[t], `width` (8, 4, 2 or 1) outputs.
 * Output j is the first to need input j + taps - 1, which is loaded just before it.
 */
// @ts-ignore: decorator
@inline
function correlateBlock(
  taps: i32,
  width: i32,
  row: usize,
  f0: v128,
  f1: v128,
  f2: v128,
  f3: v128,
  f4: v128,
  f5: v128,
  f6: v128,
  out: usize,
  accumulate: bool,
): void {
  const x0 = v128.load(row);
  let x1 = zeros();
  let x2 = zeros();
  let x3 = zeros();
  let x4 = zeros();
  let x5 = zeros();
  let x6 = zeros();
  let x7 = zeros();
  let x8 = zeros();
  let x9 = zeros();
  let x10 = zeros();
  let x11 = zeros();
  let x12 = zeros();
  let x13 = zeros();
  if (taps > 1) x1 = v128.load(row, 16);
  if (taps > 2) x2 = v128.load(row, 32);
  if (taps > 3) x3 = v128.load(row, 48);
  if (taps > 4) x4 = v128.load(row, 64);
  if (taps > 5) x5 = v128.load(row, 80);
  if (taps > 6) x6 = v128.load(row, 96);
  storeSum(taps, accumulate, out, x0, x1, x2, x3, x4, x5, x6, f0, f1, f2, f3, f4, f5, f6);
  if (width == 1) return;
  if (taps == 1) x1 = v128.load(row, 16);
  if (taps == 2) x2 = v128.load(row, 32);
  if (taps == 3) x3 = v128.load(row, 48);
  if (taps == 4) x4 = v128.load(row, 64);
  if (taps == 5) x5 = v128.load(row, 80);
  if (taps == 6) x6 = v128.load(row, 96);
  if (taps == 7) x7 = v128.load(row, 112);
  storeSum(taps, accumulate, out + 16, x1, x2, x3, x4, x5, x6, x7, f0, f1, f2, f3, f4, f5, f6);
  if (width == 2) return;
  if (taps == 1) x2 = v128.load(row, 32);
  if (taps == 2) x3 = v128.load(row, 48);
  if (taps == 3) x4 = v128.load(row, 64);
  if (taps == 4) x5 = v128.load(row, 80);
  if (taps == 5) x6 = v128.load(row, 96);
  if (taps == 6) x7 = v128.load(row, 112);
  if (taps == 7) x8 = v128.load(row, 128);
  storeSum(taps, accumulate, out + 32, x2, x3, x4, x5, x6, x7, x8, f0, f1, f2, f3, f4, f5, f6);
  if (taps == 1) x3 = v128.load(row, 48);
  if (taps == 2) x4 = v128.load(row, 64);
  if (taps == 3) x5 = v128.load(row, 80);
  if (taps == 4) x6 = v128.load(row, 96);
  if (taps == 5) x7 = v128.load(row, 112);
  if (taps == 6) x8 = v128.load(row, 128);
  if (taps == 7) x9 = v128.load(row, 144);
  storeSum(taps, accumulate, out + 48, x3, x4, x5, x6, x7, x8, x9, f0, f1, f2, f3, f4, f5, f6);
  if (width == 4) return;
  if (taps == 1) x4 = v128.load(row, 64);
  if (taps == 2) x5 = v128.load(row, 80);
  if (taps == 3) x6 = v128.load(row, 96);
  if (taps == 4) x7 = v128.load(row, 112);
  if (taps == 5) x8 = v128.load(row, 128);
  if (taps == 6) x9 = v128.load(row, 144);
  if (taps == 7) x10 = v128.load(row, 160);
  storeSum(taps, accumulate, out + 64, x4, x5, x6, x7, x8, x9, x10, f0, f1, f2, f3, f4, f5, f6);
  if (taps == 1) x5 = v128.load(row, 80);
  if (taps == 2) x6 = v128.load(row, 96);
  if (taps == 3) x7 = v128.load(row, 112);
  if (taps == 4) x8 = v128.load(row, 128);
  if (taps == 5) x9 = v128.load(row, 144);
  if (taps == 6) x10 = v128.load(row, 160);
  if (taps == 7) x11 = v128.load(row, 176);
  storeSum(taps, accumulate, out + 80, x5, x6, x7, x8, x9, x10, x11, f0, f1, f2, f3, f4, f5, f6);
  if (taps == 1) x6 = v128.load(row, 96);
  if (taps == 2) x7 = v128.load(row, 112);
  if (taps == 3) x8 = v128.load(row, 128);
  if (taps == 4) x9 = v128.load(row, 144);
  if (taps == 5) x10 = v128.load(row, 160);
  if (taps == 6) x11 = v128.load(row, 176);
  if (taps == 7) x12 = v128.load(row, 192);
  storeSum(taps, accumulate, out + 96, x6, x7, x8, x9, x10, x11, x12, f0, f1, f2, f3, f4, f5, f6);
  if (taps == 1) x7 = v128.load(row, 112);
  if (taps == 2) x8 = v128.load(row, 128);
  if (taps == 3) x9 = v128.load(row, 144);
  if (taps == 4) x10 = v128.load(row, 160);
  if (taps == 5) x11 = v128.load(row, 176);
  if (taps == 6) x12 = v128.load(row, 192);
  if (taps == 7) x13 = v128.load(row, 208);
  storeSum(taps, accumulate, out + 112, x7, x8, x9, x10, x11, x12, x13, f0, f1, f2, f3, f4, f5, f6);
}

// @ts-ignore: decorator
@inline
function correlateRow(
  taps: i32,
  plane: usize,
  outputStride: i32,
  tap: usize,
  out: usize,
  rows: i32,
  columns: i32,
  accumulate: bool,
): void {
  const f0 = v128.load(tap);
  const f1 = taps > 1 ? v128.load(tap, 16) : zeros();
  const f2 = taps > 2 ? v128.load(tap, 32) : zeros();
  const f3 = taps > 3 ? v128.load(tap, 48) : zeros();
  const f4 = taps > 4 ? v128.load(tap, 64) : zeros();
  const f5 = taps > 5 ? v128.load(tap, 80) : zeros();
  const f6 = taps > 6 ? v128.load(tap, 96) : zeros();
  for (let oy = 0; oy < rows; oy++) {
    let row = plane + oy * outputStride;
    let left = columns;
    for (; left >= 8; left -= 8) {
      correlateBlock(taps, 8, row, f0, f1, f2, f3, f4, f5, f6, out, accumulate);
      row += 128;
      out += 128;
    }
    if (left & 4) {
      correlateBlock(taps, 4, row, f0, f1, f2, f3, f4, f5, f6, out, accumulate);
      row += 64;
      out += 64;
    }
    if (left & 2) {
      correlateBlock(taps, 2, row, f0, f1, f2, f3, f4, f5, f6, out, accumulate);
      row += 32;
      out += 32;
    }
    if (left & 1) {
      correlateBlock(taps, 1, row, f0, f1, f2, f3, f4, f5, f6, out, accumulate);
      row += 16;
      out += 16;
    }
  }
}

/** The first filter row of `correlateWith`: a function of its own halves what the optimiser has at once. */
function startWith<Taps>(plane: usize, outputStride: i32, filter: usize, out: usize, rows: i32, columns: i32): void {
  correlateRow(offsetof<Taps>() as i32, plane, outputStride, filter, out, rows, columns, false);
}

/** See `correlate`. */
function correlateWith<Taps>(
  plane: usize,
  rowStride: i32,
  outputStride: i32,
  filter: usize,
  filterStride: i32,
  filterRows: i32,
  out: usize,
  rows: i32,
  columns: i32,
  accumulate: bool,
): void {
  const taps: i32 = offsetof<Taps>() as i32;
  let first = 0;
  if (!accumulate) {
    startWith<Taps>(plane, outputStride, filter, out, rows, columns);
    first = 1;
  }
  for (let r = first; r < filterRows; r++) {
    correlateRow(taps, plane + r * rowStride, outputStride, filter + r * filterStride, out, rows, columns, true);
  }
}

/**
 * out[oy, ox] (+)= sum over rows r < filterRows, taps t of plane[oy * outputStride + r * rowStride][ox + t] * filter[r][t].
 * `columns` is a multiple of 4, the plane is wide enough for it, `taps` is 1 to 7. Strides in bytes.
 */
export function correlate(
  taps: i32,
  plane: usize,
  rowStride: i32,
  outputStride: i32,
  filter: usize,
  filterStride: i32,
  filterRows: i32,
  out: usize,
  rows: i32,
  columns: i32,
  accumulate: bool,
): void {
  if (taps == 1) {
    correlateWith<One>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 2) {
    correlateWith<Two>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 3) {
    correlateWith<Three>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 4) {
    correlateWith<Four>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 5) {
    correlateWith<Five>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 6) {
    correlateWith<Six>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else {
    correlateWith<Seven>(plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  }
}

/** One run of `width` columns of dy against all taps of all filter rows; see `sumTaps`. */
function sumTapsBlock<Width>(
  plane: usize,
  rowStride: i32,
  phaseBytes: i32,
  dy: usize,
  kernel: i32,
  stride: i32,
  sums: usize,
): void {
  const width: i32 = offsetof<Width>() as i32;
  const d0 = v128.load(dy);
  const d1 = width > 1 ? v128.load(dy, 16) : zeros();
  const d2 = width > 2 ? v128.load(dy, 32) : zeros();
  const d3 = width > 3 ? v128.load(dy, 48) : zeros();
  const d4 = width > 4 ? v128.load(dy, 64) : zeros();
  const d5 = width > 5 ? v128.load(dy, 80) : zeros();
  const d6 = width > 6 ? v128.load(dy, 96) : zeros();
  for (let ky = 0; ky < kernel; ky++) {
    for (let phase = 0; phase < stride; phase++) {
      let row = plane + ky * rowStride + phase * phaseBytes;
      const taps = (kernel - phase + stride - 1) / stride;
      if (taps & 4) {
        correlateBlock(width, 4, row, d0, d1, d2, d3, d4, d5, d6, sums, true);
        row += 64;
        sums += 64;
      }
      if (taps & 2) {
        correlateBlock(width, 2, row, d0, d1, d2, d3, d4, d5, d6, sums, true);
        row += 32;
        sums += 32;
      }
      if (taps & 1) {
        correlateBlock(width, 1, row, d0, d1, d2, d3, d4, d5, d6, sums, true);
        sums += 16;
      }
    }
  }
}

/**
 * A filter's gradient, four channels: for filter row ky, column phase p (of `stride`) and tap t of that phase, in this order,
 * sums += sum over oy, ox of plane[oy * stride + ky, phase p][ox + t] * dy[oy][ox]. Runs of dy take the place of the filter
 * of `correlate`, so that a sum is read and written once for up to 7 products. Strides in bytes; kernel 1 to 7.
 */
export function sumTaps(
  plane: usize,
  rowStride: i32,
  phaseBytes: i32,
  dy: usize,
  dyStride: i32,
  rows: i32,
  columns: i32,
  kernel: i32,
  stride: i32,
  sums: usize,
): void {
  for (let oy = 0; oy < rows; oy++) {
    let start = plane + oy * stride * rowStride;
    let run = dy + oy * dyStride;
    let left = columns;
    for (; left >= 7; left -= 7) {
      sumTapsBlock<Seven>(start, rowStride, phaseBytes, run, kernel, stride, sums);
      start += 112;
      run += 112;
    }
    if (left == 6) sumTapsBlock<Six>(start, rowStride, phaseBytes, run, kernel, stride, sums);
    else if (left == 5) sumTapsBlock<Five>(start, rowStride, phaseBytes, run, kernel, stride, sums);
    else if (left == 4) sumTapsBlock<Four>(start, rowStride, phaseBytes, run, kernel, stride, sums);
    else if (left == 3) sumTapsBlock<Three>(start, rowStride, phaseBytes, run, kernel, stride, sums);
    else if (left == 2) sumTapsBlock<Two>(start, rowStride, phaseBytes, run, kernel, stride, sums);
    else if (left == 1) sumTapsBlock<One>(start, rowStride, phaseBytes, run, kernel, stride, sums);
  }
}

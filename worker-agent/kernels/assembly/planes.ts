// Correlations of small planes, the inner loops of the depthwise kernels. A plane holds four channels of one image as
// [rows][columns] vectors, so that it fits the first-level cache and a tap is one load. `taps` and `width` are constants
// of each specialisation: the compiler drops the statements whose guard is false, the filter row stays in registers, and
// each input vector is loaded once for all the outputs that it reaches. A fused multiply-add takes four cycles and two
// start per cycle, hence eight independent sums wherever a row is long enough.

import { madd, zeros } from './simd';

/** One block of `width` (4 or 8) outputs: out[j] (+)= sum over r, t of row[r][j + t] * filter[r][t]. Strides in bytes. */
// @ts-ignore: decorator
@inline
function correlateBlock(
  taps: i32,
  width: i32,
  row: usize,
  rowStride: i32,
  tap: usize,
  filterStride: i32,
  filterRows: i32,
  out: usize,
  accumulate: bool,
): void {
  let sum0 = zeros();
  let sum1 = zeros();
  let sum2 = zeros();
  let sum3 = zeros();
  let sum4 = zeros();
  let sum5 = zeros();
  let sum6 = zeros();
  let sum7 = zeros();
  if (accumulate) {
    sum0 = v128.load(out, 0);
    sum1 = v128.load(out, 16);
    sum2 = v128.load(out, 32);
    sum3 = v128.load(out, 48);
    if (width > 4) sum4 = v128.load(out, 64);
    if (width > 5) sum5 = v128.load(out, 80);
    if (width > 6) sum6 = v128.load(out, 96);
    if (width > 7) sum7 = v128.load(out, 112);
  }
  for (let r = 0; r < filterRows; r++) {
    const f0 = v128.load(tap);
    const f1 = taps > 1 ? v128.load(tap, 16) : zeros();
    const f2 = taps > 2 ? v128.load(tap, 32) : zeros();
    const f3 = taps > 3 ? v128.load(tap, 48) : zeros();
    const f4 = taps > 4 ? v128.load(tap, 64) : zeros();
    const f5 = taps > 5 ? v128.load(tap, 80) : zeros();
    const f6 = taps > 6 ? v128.load(tap, 96) : zeros();
    let x = v128.load(row);
    sum0 = madd(x, f0, sum0);
    x = v128.load(row, 16);
    if (taps > 1) sum0 = madd(x, f1, sum0);
    sum1 = madd(x, f0, sum1);
    x = v128.load(row, 32);
    if (taps > 2) sum0 = madd(x, f2, sum0);
    if (taps > 1) sum1 = madd(x, f1, sum1);
    sum2 = madd(x, f0, sum2);
    x = v128.load(row, 48);
    if (taps > 3) sum0 = madd(x, f3, sum0);
    if (taps > 2) sum1 = madd(x, f2, sum1);
    if (taps > 1) sum2 = madd(x, f1, sum2);
    sum3 = madd(x, f0, sum3);
    if (taps + width > 5) x = v128.load(row, 64);
    if (taps > 4) sum0 = madd(x, f4, sum0);
    if (taps > 3) sum1 = madd(x, f3, sum1);
    if (taps > 2) sum2 = madd(x, f2, sum2);
    if (taps > 1) sum3 = madd(x, f1, sum3);
    if (width > 4) sum4 = madd(x, f0, sum4);
    if (taps + width > 6) x = v128.load(row, 80);
    if (taps > 5) sum0 = madd(x, f5, sum0);
    if (taps > 4) sum1 = madd(x, f4, sum1);
    if (taps > 3) sum2 = madd(x, f3, sum2);
    if (taps > 2) sum3 = madd(x, f2, sum3);
    if (width > 4 && taps > 1) sum4 = madd(x, f1, sum4);
    if (width > 5) sum5 = madd(x, f0, sum5);
    if (taps + width > 7) x = v128.load(row, 96);
    if (taps > 6) sum0 = madd(x, f6, sum0);
    if (taps > 5) sum1 = madd(x, f5, sum1);
    if (taps > 4) sum2 = madd(x, f4, sum2);
    if (taps > 3) sum3 = madd(x, f3, sum3);
    if (width > 4 && taps > 2) sum4 = madd(x, f2, sum4);
    if (width > 5 && taps > 1) sum5 = madd(x, f1, sum5);
    if (width > 6) sum6 = madd(x, f0, sum6);
    if (taps + width > 8) x = v128.load(row, 112);
    if (taps > 6) sum1 = madd(x, f6, sum1);
    if (taps > 5) sum2 = madd(x, f5, sum2);
    if (taps > 4) sum3 = madd(x, f4, sum3);
    if (width > 4 && taps > 3) sum4 = madd(x, f3, sum4);
    if (width > 5 && taps > 2) sum5 = madd(x, f2, sum5);
    if (width > 6 && taps > 1) sum6 = madd(x, f1, sum6);
    if (width > 7) sum7 = madd(x, f0, sum7);
    if (taps + width > 9) x = v128.load(row, 128);
    if (taps > 6) sum2 = madd(x, f6, sum2);
    if (taps > 5) sum3 = madd(x, f5, sum3);
    if (width > 4 && taps > 4) sum4 = madd(x, f4, sum4);
    if (width > 5 && taps > 3) sum5 = madd(x, f3, sum5);
    if (width > 6 && taps > 2) sum6 = madd(x, f2, sum6);
    if (width > 7 && taps > 1) sum7 = madd(x, f1, sum7);
    if (taps + width > 10) x = v128.load(row, 144);
    if (taps > 6) sum3 = madd(x, f6, sum3);
    if (width > 4 && taps > 5) sum4 = madd(x, f5, sum4);
    if (width > 5 && taps > 4) sum5 = madd(x, f4, sum5);
    if (width > 6 && taps > 3) sum6 = madd(x, f3, sum6);
    if (width > 7 && taps > 2) sum7 = madd(x, f2, sum7);
    if (taps + width > 11) x = v128.load(row, 160);
    if (width > 4 && taps > 6) sum4 = madd(x, f6, sum4);
    if (width > 5 && taps > 5) sum5 = madd(x, f5, sum5);
    if (width > 6 && taps > 4) sum6 = madd(x, f4, sum6);
    if (width > 7 && taps > 3) sum7 = madd(x, f3, sum7);
    if (taps + width > 12) x = v128.load(row, 176);
    if (width > 5 && taps > 6) sum5 = madd(x, f6, sum5);
    if (width > 6 && taps > 5) sum6 = madd(x, f5, sum6);
    if (width > 7 && taps > 4) sum7 = madd(x, f4, sum7);
    if (taps + width > 13) x = v128.load(row, 192);
    if (width > 6 && taps > 6) sum6 = madd(x, f6, sum6);
    if (width > 7 && taps > 5) sum7 = madd(x, f5, sum7);
    if (taps + width > 14) x = v128.load(row, 208);
    if (width > 7 && taps > 6) sum7 = madd(x, f6, sum7);
    row += rowStride;
    tap += filterStride;
  }
  v128.store(out, sum0, 0);
  v128.store(out, sum1, 16);
  v128.store(out, sum2, 32);
  v128.store(out, sum3, 48);
  if (width > 4) v128.store(out, sum4, 64);
  if (width > 5) v128.store(out, sum5, 80);
  if (width > 6) v128.store(out, sum6, 96);
  if (width > 7) v128.store(out, sum7, 112);
}

/** See `correlate`. */
// @ts-ignore: decorator
@inline
function correlateWith(
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
  for (let oy = 0; oy < rows; oy++) {
    let row = plane + oy * outputStride;
    let left = columns;
    for (; left >= 8; left -= 8) {
      correlateBlock(taps, 8, row, rowStride, filter, filterStride, filterRows, out, accumulate);
      row += 128;
      out += 128;
    }
    if (left) {
      correlateBlock(taps, 4, row, rowStride, filter, filterStride, filterRows, out, accumulate);
      out += 64;
    }
  }
}

/** See `sumTaps`. Sums of even and odd columns are kept apart where registers allow (up to 5 taps). */
// @ts-ignore: decorator
@inline
function sumTapsWith(
  taps: i32,
  plane: usize,
  outputStride: i32,
  dy: usize,
  rows: i32,
  columns: i32,
  sums: usize,
): void {
  let sum0 = v128.load(sums);
  let sum1 = taps > 1 ? v128.load(sums, 16) : zeros();
  let sum2 = taps > 2 ? v128.load(sums, 32) : zeros();
  let sum3 = taps > 3 ? v128.load(sums, 48) : zeros();
  let sum4 = taps > 4 ? v128.load(sums, 64) : zeros();
  let sum5 = taps > 5 ? v128.load(sums, 80) : zeros();
  let sum6 = taps > 6 ? v128.load(sums, 96) : zeros();
  let odd0 = zeros();
  let odd1 = zeros();
  let odd2 = zeros();
  let odd3 = zeros();
  let odd4 = zeros();
  for (let oy = 0; oy < rows; oy++) {
    let row = plane + oy * outputStride;
    for (let ox = 0; ox < columns; ox += 4) {
      const d0 = v128.load(dy);
      const d1 = v128.load(dy, 16);
      const d2 = v128.load(dy, 32);
      const d3 = v128.load(dy, 48);
      let x = v128.load(row);
      sum0 = madd(x, d0, sum0);
      x = v128.load(row, 16);
      if (taps > 1) sum1 = madd(x, d0, sum1);
      if (taps > 5) sum0 = madd(x, d1, sum0);
      else odd0 = madd(x, d1, odd0);
      x = v128.load(row, 32);
      if (taps > 2) sum2 = madd(x, d0, sum2);
      if (taps > 5) sum1 = madd(x, d1, sum1);
      else if (taps > 1) odd1 = madd(x, d1, odd1);
      sum0 = madd(x, d2, sum0);
      x = v128.load(row, 48);
      if (taps > 3) sum3 = madd(x, d0, sum3);
      if (taps > 5) sum2 = madd(x, d1, sum2);
      else if (taps > 2) odd2 = madd(x, d1, odd2);
      if (taps > 1) sum1 = madd(x, d2, sum1);
      if (taps > 5) sum0 = madd(x, d3, sum0);
      else odd0 = madd(x, d3, odd0);
      if (taps > 1) x = v128.load(row, 64);
      if (taps > 4) sum4 = madd(x, d0, sum4);
      if (taps > 5) sum3 = madd(x, d1, sum3);
      else if (taps > 3) odd3 = madd(x, d1, odd3);
      if (taps > 2) sum2 = madd(x, d2, sum2);
      if (taps > 5) sum1 = madd(x, d3, sum1);
      else if (taps > 1) odd1 = madd(x, d3, odd1);
      if (taps > 2) x = v128.load(row, 80);
      if (taps > 5) sum5 = madd(x, d0, sum5);
      if (taps > 5) sum4 = madd(x, d1, sum4);
      else if (taps > 4) odd4 = madd(x, d1, odd4);
      if (taps > 3) sum3 = madd(x, d2, sum3);
      if (taps > 5) sum2 = madd(x, d3, sum2);
      else if (taps > 2) odd2 = madd(x, d3, odd2);
      if (taps > 3) x = v128.load(row, 96);
      if (taps > 6) sum6 = madd(x, d0, sum6);
      if (taps > 5) sum5 = madd(x, d1, sum5);
      if (taps > 4) sum4 = madd(x, d2, sum4);
      if (taps > 5) sum3 = madd(x, d3, sum3);
      else if (taps > 3) odd3 = madd(x, d3, odd3);
      if (taps > 4) x = v128.load(row, 112);
      if (taps > 6) sum6 = madd(x, d1, sum6);
      if (taps > 5) sum5 = madd(x, d2, sum5);
      if (taps > 5) sum4 = madd(x, d3, sum4);
      else if (taps > 4) odd4 = madd(x, d3, odd4);
      if (taps > 5) x = v128.load(row, 128);
      if (taps > 6) sum6 = madd(x, d2, sum6);
      if (taps > 5) sum5 = madd(x, d3, sum5);
      if (taps > 6) x = v128.load(row, 144);
      if (taps > 6) sum6 = madd(x, d3, sum6);
      row += 64;
      dy += 64;
    }
  }
  v128.store(sums, f32x4.add(sum0, odd0));
  if (taps > 1) v128.store(sums, f32x4.add(sum1, odd1), 16);
  if (taps > 2) v128.store(sums, f32x4.add(sum2, odd2), 32);
  if (taps > 3) v128.store(sums, f32x4.add(sum3, odd3), 48);
  if (taps > 4) v128.store(sums, f32x4.add(sum4, odd4), 64);
  if (taps > 5) v128.store(sums, sum5, 80);
  if (taps > 6) v128.store(sums, sum6, 96);
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
    correlateWith(1, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 2) {
    correlateWith(2, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 3) {
    correlateWith(3, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 4) {
    correlateWith(4, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 5) {
    correlateWith(5, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else if (taps == 6) {
    correlateWith(6, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  } else {
    correlateWith(7, plane, rowStride, outputStride, filter, filterStride, filterRows, out, rows, columns, accumulate);
  }
}

/** sums[t] += sum over oy, ox of plane[oy * outputStride][ox + t] * dy[oy][ox]: one row of a filter's gradient. */
export function sumTaps(
  taps: i32,
  plane: usize,
  outputStride: i32,
  dy: usize,
  rows: i32,
  columns: i32,
  sums: usize,
): void {
  if (taps == 1) {
    sumTapsWith(1, plane, outputStride, dy, rows, columns, sums);
  } else if (taps == 2) {
    sumTapsWith(2, plane, outputStride, dy, rows, columns, sums);
  } else if (taps == 3) {
    sumTapsWith(3, plane, outputStride, dy, rows, columns, sums);
  } else if (taps == 4) {
    sumTapsWith(4, plane, outputStride, dy, rows, columns, sums);
  } else if (taps == 5) {
    sumTapsWith(5, plane, outputStride, dy, rows, columns, sums);
  } else if (taps == 6) {
    sumTapsWith(6, plane, outputStride, dy, rows, columns, sums);
  } else {
    sumTapsWith(7, plane, outputStride, dy, rows, columns, sums);
  }
}

// Two matrix products, row-major, blocked in registers (4 by 8 accumulators, after Goto and van de Geijn 2008).
//   multiply:           out[m, n] = sum_k a[m, k] * b[k, n]      convolution, and its gradient by the input
//   multiplyTransposed: out[k, n] += sum_m a[m, k] * b[m, n]     gradient by the filter

import { loadLanes, madd, storeLanes, zeros } from './simd';

/** Rows of `a` that stay in the second-level cache while all panels of `b` pass over them. */
const ROW_CHUNK: i32 = 64;

/** Rows summed in registers before they are added to memory; also bounds the rounding error of long sums. */
const SUM_CHUNK: i32 = 128;

/**
 * Rearranges b[inner, columns] to panels of 8 columns, each `inner` rows of 8 floats, the last one padded with zeros.
 * Element (k, n) is at b + k * rowStride + n * columnStride (bytes), so a transposed matrix packs as well.
 */
export function packPanels(
  b: usize,
  inner: i32,
  columns: i32,
  rowStride: i32,
  columnStride: i32,
  panels: usize,
): void {
  for (let first = 0; first < columns; first += 8) {
    const count = min(8, columns - first);
    for (let k = 0; k < inner; k++) {
      const source = b + k * rowStride + first * columnStride;
      if (count == 8 && columnStride == 4) {
        v128.store(panels, v128.load(source));
        v128.store(panels, v128.load(source, 16), 16);
      } else {
        for (let n = 0; n < 8; n++) {
          store<f32>(panels + (n << 2), n < count ? load<f32>(source + n * columnStride) : 0);
        }
      }
      panels += 32;
    }
  }
}

// @ts-ignore: decorator
@inline
function storeRow(target: usize, low: v128, high: v128, count: i32): void {
  if (count >= 8) {
    v128.store(target, low);
    v128.store(target, high, 16);
  } else {
    storeLanes(target, low, count);
    if (count > 4) storeLanes(target + 16, high, count - 4);
  }
}

function multiplyFourRows(
  a: usize,
  panel: usize,
  out: usize,
  inner: i32,
  aStride: i32,
  outStride: i32,
  count: i32,
): void {
  let a0 = a;
  let a1 = a + aStride;
  let a2 = a1 + aStride;
  let a3 = a2 + aStride;
  let c00 = zeros();
  let c01 = zeros();
  let c10 = zeros();
  let c11 = zeros();
  let c20 = zeros();
  let c21 = zeros();
  let c30 = zeros();
  let c31 = zeros();
  const end = a0 + (inner << 2);
  while (a0 < end) {
    const b0 = v128.load(panel);
    const b1 = v128.load(panel, 16);
    let x = v128.load32_splat(a0);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    panel += 32;
  }
  storeRow(out, c00, c01, count);
  storeRow(out + outStride, c10, c11, count);
  storeRow(out + outStride * 2, c20, c21, count);
  storeRow(out + outStride * 3, c30, c31, count);
}

function multiplyOneRow(a: usize, panel: usize, out: usize, inner: i32, count: i32): void {
  let low = zeros();
  let high = zeros();
  for (let k = 0; k < inner; k++) {
    const x = v128.load32_splat(a + (k << 2));
    low = madd(x, v128.load(panel), low);
    high = madd(x, v128.load(panel, 16), high);
    panel += 32;
  }
  storeRow(out, low, high, count);
}

/** out[rows, columns] = a[rows, inner] * b, with b as `packPanels` left it. Strides: bytes from one row to the next. */
export function multiply(
  a: usize,
  panels: usize,
  out: usize,
  rows: i32,
  inner: i32,
  columns: i32,
  aStride: i32,
  outStride: i32,
): void {
  const panelBytes = inner << 5;
  for (let first = 0; first < rows; first += ROW_CHUNK) {
    const last = min(first + ROW_CHUNK, rows);
    let panel = panels;
    for (let column = 0; column < columns; column += 8) {
      const count = min(8, columns - column);
      let row = first;
      for (; row + 4 <= last; row += 4) {
        const target = out + row * outStride + (column << 2);
        multiplyFourRows(a + row * aStride, panel, target, inner, aStride, outStride, count);
      }
      for (; row < last; row++) {
        const target = out + row * outStride + (column << 2);
        multiplyOneRow(a + row * aStride, panel, target, inner, count);
      }
      panel += panelBytes;
    }
  }
}

// @ts-ignore: decorator
@inline
function addRow(target: usize, low: v128, high: v128): void {
  v128.store(target, f32x4.add(v128.load(target), low));
  v128.store(target, f32x4.add(v128.load(target, 16), high), 16);
}

/** out[0..4, 0..8] += sum over rows. */
function sumFourByEight(
  a: usize,
  b: usize,
  out: usize,
  rows: i32,
  aStride: i32,
  bStride: i32,
): void {
  let c00 = zeros();
  let c01 = zeros();
  let c10 = zeros();
  let c11 = zeros();
  let c20 = zeros();
  let c21 = zeros();
  let c30 = zeros();
  let c31 = zeros();
  for (let row = 0; row < rows; row++) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    a += aStride;
    b += bStride;
  }
  addRow(out, c00, c01);
  addRow(out + bStride, c10, c11);
  addRow(out + bStride * 2, c20, c21);
  addRow(out + bStride * 3, c30, c31);
}

/** out[0, 0..count] += sum over rows, count at most 4. */
function sumOneByFour(
  a: usize,
  b: usize,
  out: usize,
  rows: i32,
  aStride: i32,
  bStride: i32,
  count: i32,
): void {
  let sum = zeros();
  for (let row = 0; row < rows; row++) {
    sum = madd(v128.load32_splat(a), loadLanes(b, count), sum);
    a += aStride;
    b += bStride;
  }
  storeLanes(out, f32x4.add(loadLanes(out, count), sum), count);
}

/** out[inner, columns] += transpose(a[rows, inner]) * b[rows, columns]; `bStride`: bytes from one row of b, and of out, to the next. */
export function multiplyTransposed(
  a: usize,
  b: usize,
  out: usize,
  rows: i32,
  inner: i32,
  columns: i32,
  bStride: i32,
): void {
  const aStride = inner << 2;
  const wholeInner = inner & ~3;
  const wholeColumns = columns & ~7;
  for (let first = 0; first < rows; first += SUM_CHUNK) {
    const count = min(SUM_CHUNK, rows - first);
    const aChunk = a + first * aStride;
    const bChunk = b + first * bStride;
    for (let k = 0; k < wholeInner; k += 4) {
      for (let n = 0; n < wholeColumns; n += 8) {
        const target = out + k * bStride + (n << 2);
        sumFourByEight(aChunk + (k << 2), bChunk + (n << 2), target, count, aStride, bStride);
      }
    }
    for (let k = 0; k < inner; k++) {
      const start = k < wholeInner ? wholeColumns : 0;
      for (let n = start; n < columns; n += 4) {
        const target = out + k * bStride + (n << 2);
        const width = min(4, columns - n);
        sumOneByFour(aChunk + (k << 2), bChunk + (n << 2), target, count, aStride, bStride, width);
      }
    }
  }
}
